//! Every key of the configuration file: its kind and its meaning. The warnings about unknown
//! keys and the JSON Schema are made of this table.

pub(crate) mod json_schema;
#[cfg(test)]
pub(crate) mod reads;
mod stores;
mod table;

pub(crate) use table::TOP;

/// One key.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// One line for the person who writes the file.
    pub(crate) about: &'static str,
    /// It is read, and something else should be written.
    pub(crate) is_old: bool,
}

/// What a value may be, as the daemon reads it: an empty value is as good as none, and texts,
/// numbers and booleans stand for each other where that makes sense.
pub(crate) enum Kind {
    /// A text; also a path, an address, a password.
    Text,
    /// A boolean, or a word that stands for one.
    Flag,
    /// An integer within bounds, or a text with one.
    Int(i64, i64),
    /// Seconds as a number, or a text with a unit.
    Seconds,
    /// Bytes as a number, or a text with a unit.
    Size,
    /// One of some words, in any case, or false where that stands for `off`.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of texts, or one text with commas.
    Commas,
    /// Names and texts.
    TextMap,
    /// Names and whatever they need.
    Map,
    /// A list or a mapping of options.
    Options,
    /// A list of mappings.
    Maps,
    /// Anything.
    Any,
    /// Other keys than these mean nothing.
    Section(&'static [Key]),
    /// Other keys than these are mappings with a name that somebody chose.
    Named(&'static [Key]),
    /// Other keys than these are somebody's own.
    Open(&'static [Key]),
    /// A list of sections.
    Sections(&'static [Key]),
}

impl Kind {
    /// The keys of a mapping.
    pub(crate) fn keys(&self) -> &'static [Key] {
        match self {
            Self::Section(keys) | Self::Named(keys) | Self::Open(keys) => keys,
            Self::Text
            | Self::Flag
            | Self::Int(..)
            | Self::Seconds
            | Self::Size
            | Self::Choice(_)
            | Self::Texts
            | Self::Commas
            | Self::TextMap
            | Self::Map
            | Self::Options
            | Self::Maps
            | Self::Any
            | Self::Sections(_) => &[],
        }
    }
}

/// Whether a key of `postgresql` has a meaning; other mappings there are replica methods.
pub(crate) fn is_of_server(name: &str) -> bool {
    table::SERVER.iter().any(|key| key.name == name)
}

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key {
        name,
        kind,
        about,
        is_old: false,
    }
}

const fn old(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key {
        name,
        kind,
        about,
        is_old: true,
    }
}

const PORT: Kind = Kind::Int(0, 65_535);
const COUNT: Kind = Kind::Int(0, i64::MAX);
const ANY_INT: Kind = Kind::Int(i64::MIN, i64::MAX);
const POOL: Kind = Kind::Int(0, i64::MAX);
