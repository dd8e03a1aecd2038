//! `GET /openapi.json`: this interface, described for programs (OpenAPI 3.1).
//!
//! `document` puts the rows of [`route`](super::route) and of the health checks together with
//! their descriptions in `operation`; `schema` has the bodies. A route without a description does
//! not compile, and tests hold the answers of the server and recorded ones against the schemas.

mod document;
mod operation;
mod schema;

pub use document::document;
