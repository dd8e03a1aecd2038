//! The text of floating point numbers.

/// A number as YAML of the reference has it: the shortest digits that read back the same, an
/// exponent only far from one, and always a dot (`1.0e+16`).
pub(super) fn text(number: f64) -> String {
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest
        .split_once('e')
        .expect("the exponent form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let dot = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}{dot}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    #[test]
    fn floats_keep_their_dot() {
        for (number, expected) in [
            (1000.0, "1000.0"),
            (0.5, "0.5"),
            (1e16, "1.0e+16"),
            (1e-5, "1.0e-05"),
            (1.5e300, "1.5e+300"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (-0.0001, "-0.0001"),
        ] {
            assert_eq!(super::text(number), expected);
        }
    }
}
