//! `GET /ui`: the page for people.
//!
//! One file with its style and its script in it; it asks for nothing but the documents of this
//! server. The policy that goes with it lets no other script run, whatever a name contains, and
//! nothing be sent elsewhere.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use sha2::{Digest as _, Sha256};

use crate::wire::{Answer, Content};

const PAGE: &str = include_str!("ui/page.html");

/// What browsers are told: see [`policy`].
static POLICY: LazyLock<String> = LazyLock::new(policy);

/// The page with its headers. It is always the same.
pub(super) fn answer() -> Answer {
    let page = Content::Page(Bytes::from_static(PAGE.as_bytes()));
    Answer::of(StatusCode::OK, page)
        .with_header("content-security-policy", POLICY.as_str())
        .with_header("x-content-type-options", "nosniff")
        .with_header("x-frame-options", "DENY")
        .with_header("referrer-policy", "no-referrer")
        .with_header("cache-control", "no-cache")
}

/// The content security policy (W3C, level 3). Script and style are allowed by their hash, and no
/// text can become markup: the browser itself refuses (trusted types).
fn policy() -> String {
    let hash = |tag| STANDARD.encode(Sha256::digest(block(tag)));
    let (script, style) = (hash("script"), hash("style"));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

/// What stands between the tags, as browsers hash it.
fn block(tag: &str) -> &'static str {
    let (begin, end) = (format!("<{tag}>"), format!("</{tag}>"));
    let inside = PAGE.split_once(begin.as_str()).map(|(_, rest)| rest);
    let inside = inside.and_then(|rest| rest.split_once(end.as_str()));
    inside.map_or("", |(block, _)| block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_everything_and_asks_nobody_else() {
        assert!(block("style").len() > 1000);
        assert!(block("script").len() > 1000);
        for tag in ["<style>", "<script>"] {
            assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
        }
        for foreign in [
            " src=", "@import", "url(", "https://", " style=", "onclick=",
        ] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn text_has_no_way_to_become_markup() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
        ] {
            assert!(!PAGE.contains(way), "{way}");
        }
    }
}
