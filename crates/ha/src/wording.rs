//! The macro behind the tables of sentences: each row is a variant with its exact text.

/// Declares an enum of sentences. Rows are `Variant { field: Type } => "text with {field}";`,
/// in the levelled form with the level in front. `Display` gives the text.
macro_rules! wording {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $variant:ident $({ $($field:ident : $ty:ty),+ $(,)? })? => $text:literal; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(
                #[doc = concat!("`", $text, "`")]
                $variant $({ $(
                    #[doc = concat!("`", stringify!($field), "` of the sentence")]
                    $field: $ty,
                )+ })?,
            )+
        }

        impl $name {
            /// The names of all variants, in their order.
            pub const NAMES: &[&str] = &[$( stringify!($variant), )+];

            /// The name of this variant.
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$variant $({ $($field: _),+ })? => stringify!($variant), )+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $( Self::$variant $({ $($field),+ })? => write!(f, $text), )+
                }
            }
        }
    };
    (
        levels $(#[$meta:meta])*
        pub enum $name:ident {
            $( $level:ident $variant:ident $({ $($field:ident : $ty:ty),+ $(,)? })? => $text:literal; )+
        }
    ) => {
        wording! {
            $(#[$meta])*
            pub enum $name {
                $( $variant $({ $($field : $ty),+ })? => $text; )+
            }
        }

        impl $name {
            /// How loud it is.
            pub const fn level(&self) -> Level {
                match self {
                    $( Self::$variant $({ $($field: _),+ })? => Level::$level, )+
                }
            }
        }
    };
}

pub(crate) use wording;
