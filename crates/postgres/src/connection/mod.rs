//! SQL connections: where to, with which credentials, and never waiting longer than asked.

mod driver;
mod endpoint;
mod error;
mod named;
mod session;
pub mod tls;

pub(crate) use driver::Driver;
pub use endpoint::{Address, Endpoint};
pub(crate) use endpoint::{local_address, local_name, system_user};
pub use error::QueryError;
pub use named::Named;
pub(crate) use named::NamedConnection;
pub use session::{Row, Session, quote_identifier, quote_literal};
