//! Order by chance, so that the clients of a store spread over its servers.

/// Fisher and Yates. That the last bits of chance are not quite even does no harm: it only
/// spreads the load of many clients.
pub(crate) fn shuffle(items: &mut [String]) {
    for last in (1..items.len()).rev() {
        let chance = usize::try_from(getrandom::u32().unwrap_or(0)).unwrap_or(0);
        items.swap(last, chance % (last + 1));
    }
}
