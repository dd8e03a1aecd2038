//! YAML as the reference reads and writes it. The only module that knows the format.
//!
//! Reading follows YAML 1.1 (`on` is true, `0640` is octal, `1:30` is ninety, dates are dates);
//! writing gives the block style that operators know from `show-config`, and quotes every text
//! that would read back as something else.

mod float;
mod fold;
mod read;
mod scalar;
mod timestamp;
mod write;

pub use read::{Document, Place, YamlError, parse, parse_value};
pub use write::{Options, to_block, to_flow};
