//! The small HTML page that goes with refusals of the HTTP layer.

use hyper::StatusCode;

/// The page: title, code, message and what the code means. Clients only look at the code.
pub fn render(status: StatusCode, message: Option<&str>) -> String {
    let reason = status.canonical_reason().unwrap_or("Error");
    let message = escaped(message.unwrap_or(reason));
    let code = status.as_u16();
    let meaning = explanation(status);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Error response</title></head>\n\
         <body>\n<h1>Error response</h1>\n<p>Error code: {code}</p>\n<p>Message: {message}.</p>\n\
         <p>Error code explanation: {code} - {meaning}.</p>\n</body>\n</html>\n"
    )
}

fn explanation(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "The request could not be understood",
        408 => "The request did not arrive in time",
        409 => "The object was changed by somebody else meanwhile",
        411 => "The request must state the length of its body",
        413 => "The body of the request is too large",
        501 => "The server does not support this operation",
        502 => "The object could not be read or written",
        503 => "The server cannot process the request now",
        504 => "The request was not finished in time",
        _ => "The request was refused",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cannot_carry_markup() {
        let page = render(
            StatusCode::NOT_IMPLEMENTED,
            Some("Unsupported method ('<B>')"),
        );
        assert!(page.contains("<p>Error code: 501</p>"), "{page}");
        assert!(
            page.contains("Message: Unsupported method ('&lt;B&gt;')."),
            "{page}"
        );
    }
}
