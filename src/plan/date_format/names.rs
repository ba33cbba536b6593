//! English names of months, weekdays and halves of a day, in the forms that Java's locale data (CLDR) has had.

/// Java's patterns are read with `Locale.ENGLISH`.
pub(super) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// From Monday, as chrono counts.
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Abbreviations of more than three letters: CLDR's `Sept` for Britain, Canada and Australia, and the usual ones of weekdays.
const LONGER: [&str; 5] = ["Sept", "Tues", "Weds", "Thurs", "Thur"];

/// A full name, its first three letters or a longer abbreviation, in any case; gives its index.
pub(super) fn read_name<'a>(text: &'a [u8], names: &[&str]) -> Option<(u32, &'a [u8])> {
    let short = text.first_chunk::<3>()?;
    let (index, name) = (0..).zip(names).find(|(_, name)| name.as_bytes()[..3].eq_ignore_ascii_case(short))?;
    let starts = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    // in `SepT10` the T is the pattern's
    let ends = |word: &str| !text.get(word.len()).is_some_and(u8::is_ascii_alphanumeric);
    let length = match LONGER.into_iter().find(|word| starts(word) && ends(word)) {
        _ if starts(name) => name.len(),
        Some(longer) => longer.len(),
        None => 3,
    };
    Some((index, &text[length..]))
}

/// `AM` or `PM`, in any case, with or without dots and a blank between them; whether it is the second half. A dot at the end is
/// left to the caller.
pub(super) fn read_half_day(text: &[u8]) -> Option<(bool, &[u8])> {
    let (first, rest) = text.split_first()?;
    let afternoon = match first {
        b'A' | b'a' => false,
        b'P' | b'p' => true,
        _ => return None,
    };
    let rest = match rest {
        [b'.', b' ', rest @ ..] | [b'.', rest @ ..] => rest,
        _ => rest,
    };
    rest.strip_prefix(b"M").or_else(|| rest.strip_prefix(b"m")).map(|rest| (afternoon, rest))
}
