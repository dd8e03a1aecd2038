//! Records: how they are laid out, and how a torn one is told from a damaged one.

use std::ops::Range;

/// Every record begins at a multiple of this.
pub(super) const ALIGN: usize = 16;
const HEADER: usize = 16;
const SECTOR: usize = 512;
const END: u8 = 0xA5;

/// Largest payload that is believed.
const MAX_PAYLOAD: usize = 256 << 20;

/// Lays out one record, padding included.
pub(super) fn encode(payload: &[u8], salt: u32, number: u32) -> Vec<u8> {
    let mut record = Vec::with_capacity(padded(payload.len()));
    let length = u32::try_from(payload.len()).expect("payloads are far below 4 GiB");
    record.extend(length.to_le_bytes());
    record.extend(crc32fast::hash(payload).to_le_bytes());
    record.extend(number.to_le_bytes());
    let check = header_check(&record[..12], salt);
    record.extend(check.to_le_bytes());
    record.extend(payload);
    record.push(END);
    record.resize(padded(payload.len()), 0);
    record
}

/// What a file's records look like.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where the payloads are.
    pub(super) payloads: Vec<Range<usize>>,
    /// Where the next record goes.
    pub(super) end: usize,
    /// Whether something torn stands there.
    pub(super) torn: bool,
}

/// Damage that no crash explains.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: usize,
    pub(super) why: &'static str,
}

/// Walks through the records from `start` on.
pub(super) fn scan(file: &[u8], start: usize, salt: u32) -> Result<Scan, Damage> {
    let mut payloads = Vec::new();
    let mut at = start;
    let mut number = 0;
    while let Some(payload) = intact(file, at, salt, number) {
        at += padded(payload.len());
        number += 1;
        payloads.push(payload);
    }
    let at = at.min(file.len());
    let torn = file[at..].iter().any(|byte| *byte != 0);
    if torn {
        judge(file, at, salt, number)?;
    }
    Ok(Scan {
        payloads,
        end: at,
        torn,
    })
}

fn intact(file: &[u8], at: usize, salt: u32, number: u32) -> Option<Range<usize>> {
    let header = Header::read(file.get(at..at + HEADER)?, salt)?;
    let payload = at + HEADER..at + HEADER + header.length;
    let bytes = file.get(payload.clone())?;
    let whole = header.number == number
        && file.get(payload.end) == Some(&END)
        && crc32fast::hash(bytes) == header.check;
    whole.then_some(payload)
}

/// Whether what stands at `at` can be the trace of a write that a crash cut short.
fn judge(file: &[u8], at: usize, salt: u32, number: u32) -> Result<(), Damage> {
    let damage = |why| Err(Damage { offset: at, why });
    let rest = &file[at..];
    let later = (ALIGN..rest.len())
        .step_by(ALIGN)
        .filter_map(|step| Header::read(rest.get(step..step + HEADER)?, salt))
        .any(|header| header.number > number);
    if later {
        return damage("a broken record before intact ones");
    }
    let Some(head) = rest.get(..HEADER) else {
        return Ok(());
    };
    let Some(header) = Header::read(head, salt) else {
        let unwritten = head.iter().all(|byte| *byte == 0);
        let cut_inside = rest[HEADER..].iter().all(|byte| *byte == 0);
        if unwritten || cut_inside {
            return Ok(());
        }
        return damage("a broken record header");
    };
    if header.number != number {
        return damage("a record out of order");
    }
    let end = at + HEADER + header.length;
    match file.get(end) {
        None | Some(0) => Ok(()),
        Some(_) if has_unwritten_sector(file, at, end) => Ok(()),
        Some(_) => damage("a wrong checksum"),
    }
}

fn has_unwritten_sector(file: &[u8], at: usize, end: usize) -> bool {
    let first = at / SECTOR + 1;
    (first..=end / SECTOR).any(|sector| {
        let sector = &file[sector * SECTOR..((sector + 1) * SECTOR).min(end + 1)];
        sector.iter().all(|byte| *byte == 0)
    })
}

struct Header {
    length: usize,
    check: u32,
    number: u32,
}

impl Header {
    fn read(bytes: &[u8], salt: u32) -> Option<Self> {
        let word = |index: usize| Some(u32::from_le_bytes(*bytes[index * 4..].first_chunk()?));
        let length = usize::try_from(word(0)?).ok()?;
        let valid = word(3)? == header_check(&bytes[..12], salt) && length <= MAX_PAYLOAD;
        valid.then_some(Self {
            length,
            check: word(1)?,
            number: word(2)?,
        })
    }
}

fn header_check(words: &[u8], salt: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(words);
    hasher.finalize()
}

fn padded(payload: usize) -> usize {
    (HEADER + payload + 1).next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut file = vec![0; 32];
        for (number, payload) in (0..).zip(payloads) {
            file.extend(encode(payload, 7, number));
        }
        file
    }

    #[test]
    fn a_cut_anywhere_in_the_last_record_is_torn() {
        let before = file(&[b"first", &[1; 700]]).len();
        let whole = file(&[b"first", &[1; 700], &[2; 1500]]);
        for cut in before + 1..whole.len() - 16 {
            let ended = scan(&whole[..cut], 32, 7).unwrap();
            assert_eq!((ended.payloads.len(), ended.end), (2, before), "{cut}");
            let mut zeroed = whole[..cut].to_vec();
            zeroed.resize(whole.len() + 4096, 0);
            let ended = scan(&zeroed, 32, 7).unwrap();
            assert_eq!((ended.payloads.len(), ended.end), (2, before), "{cut}");
        }
    }

    #[test]
    fn sectors_may_arrive_in_any_order() {
        let whole = file(&[b"first", &[2; 3000]]);
        for lost in 1..6 {
            let mut torn = whole.clone();
            torn[lost * 512..(lost + 1) * 512].fill(0);
            assert_eq!(scan(&torn, 32, 7).unwrap().payloads.len(), 1, "{lost}");
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_and_never_shortens_the_log() {
        let mut whole = file(&[b"first", b"second, a bit longer", b"third"]);
        let end = whole.len();
        whole.resize(end + 4096, 0);
        let intact = scan(&whole, 32, 7).unwrap();
        assert_eq!(intact.payloads.len(), 3);
        for at in 32..end {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                match scan(&flipped, 32, 7) {
                    Err(damage) => assert!(damage.offset <= at),
                    Ok(found) => assert_eq!(found.payloads, intact.payloads, "{at}.{bit}"),
                }
            }
        }
    }
}
