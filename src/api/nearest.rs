//! Names that are nearly alike: the one that a misspelt one most likely stands for, and those that differ in their spelling alone.

/// The candidate with the fewest edits, if it is near enough to be worth proposing: one edit, or one for every three letters.
/// Case counts as nothing, since names differ by it often (`idfield`, `oAuth2`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let bound = (name.chars().count() / 3).max(1);
    let scored = candidates.into_iter().map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate));
    scored.filter(|(edits, _)| *edits <= bound).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// A name without case and separators: `contactId`, `contact_id` and `Contact-ID` are alike.
pub fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposes_only_what_is_near() {
        let names = ["polling", "parameters", "resources", "suspend", "datesConfiguration", "in"];
        for (typo, meant) in [
            ("poling", Some("polling")),
            ("suspended", Some("suspend")),
            ("datesconfiguration", Some("datesConfiguration")),
            ("resource", Some("resources")),
            ("ni", Some("in")),
            ("schedule", None),
            ("at", None),
        ] {
            assert_eq!(nearest(typo, names), meant, "{typo}");
        }
    }
}
