//! Releases of PostgreSQL as people write them.

/// `150018` is 15.18, `90624` was 9.6.24.
pub(crate) fn text(number: i64) -> String {
    if number < 100_000 {
        format!(
            "{}.{}.{}",
            number / 10_000,
            number / 100 % 100,
            number % 100
        )
    } else {
        format!("{}.{}", number / 10_000, number % 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_postgresql_means_them() {
        assert_eq!(text(150_018), "15.18");
        assert_eq!(text(90_624), "9.6.24");
    }
}
