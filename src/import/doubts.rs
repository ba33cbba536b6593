//! What a person must check about the fields that a poller names: they are kept, and what is odd about them is reported.

use crate::api::dates::DatesConfiguration;
use crate::plan::field_path::FieldPath;

/// Parts of the names of dates of creation, and of those of dates of change.
const CREATION: [&str; 4] = ["creat", "added", "add_", "entered"];
const CHANGE: [&str; 4] = ["updat", "modif", "chang", "edit"];

/// A hub has fields of its own, and so have older versions of an API: a field that the resource which answers for the hub path has under
/// another name is most likely missing in its records. `entry` is the name of that resource, `own` its field.
pub(super) fn other_field(given: &str, own: &str, entry: &str) -> Option<String> {
    let plain = |path: &str| FieldPath::parse(path).ok().map(|path| path.to_string());
    (plain(given)? != plain(own)?).then(|| {
        format!(
            "the connector's resource {entry}, which answers for this URL, has {own} there: leave this field out, unless the records \
             have it, too"
        )
    })
}

/// The dates of change and creation in each other's place: the cursor would follow the creation, and no change would be seen.
pub(super) fn swapped(updated: &str, created: &str) -> Option<String> {
    let is_of = |name: &str, parts: &[&str]| {
        let name = name.to_ascii_lowercase();
        parts.iter().any(|part| name.contains(part))
    };
    let is_creation = |name| is_of(name, &CREATION) && !is_of(name, &CHANGE);
    let is_change = |name| is_of(name, &CHANGE) && !is_of(name, &CREATION);
    (is_creation(updated) && is_change(created) && FieldPath::parse(created).is_ok()).then(|| {
        format!("it looks swapped with createdDateField, {created}, so that changes would not be seen; swap the two if it is")
    })
}

/// A list that is bounded by the date of creation, although the records have one of change: changes of older records are not in it.
/// `bounds`: the members of the query that ask for what is new.
pub(super) fn bounded_by_creation<'a>(
    mut bounds: impl Iterator<Item = &'a str> + Clone,
    dates: &DatesConfiguration,
) -> Option<String> {
    let (updated, created) = (dates.updated_date_field.as_deref()?, dates.created_date_field.as_deref()?);
    let is_seen = bounds.clone().any(|bound| bound == updated);
    (updated != created && !is_seen && bounds.any(|bound| bound == created)).then(|| {
        format!("the list is bounded by {created}, so that changes of older records are not in it; bound it by {updated}, if the provider can")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_field_in_other_words_is_no_other_field() {
        for (given, own) in [("id", "id"), ("['id']", "id"), ("a.b", "a['b']"), ("a..b", "id")] {
            assert_eq!(other_field(given, own, "contacts"), None, "{given}");
        }
        assert!(
            other_field("vid", "id", "contacts")
                .is_some_and(|text| text.contains("resource contacts") && text.contains("has id"))
        );
    }

    #[test]
    fn dates_in_each_others_place() {
        for (updated, created) in
            [("CreationDate", "ProgenyEditDate"), ("created_at", "updated_at"), ("add_time", "update_time")]
        {
            assert!(swapped(updated, created).is_some_and(|text| text.contains(created)), "{updated}");
            assert_eq!(swapped(created, updated), None, "{updated}");
        }
        for (updated, created) in
            [("createdTime", "createdTime"), ("date", "modified"), ("created", "id"), ("lastUpdated", "lastUpdated")]
        {
            assert_eq!(swapped(updated, created), None, "{updated}");
        }
    }

    #[test]
    fn a_list_that_is_bounded_by_creation() {
        let dates = |updated: &str, created: &str| DatesConfiguration {
            updated_date_field: Some(updated.to_owned()),
            created_date_field: Some(created.to_owned()),
            ..DatesConfiguration::default()
        };
        let found = bounded_by_creation(["CreationDate"].into_iter(), &dates("LastUpdateDate", "CreationDate"));
        assert!(found.is_some_and(|text| text.contains("bound it by LastUpdateDate")));
        for (bounds, updated) in
            [(vec!["CreationDate"], "CreationDate"), (vec!["CreationDate", "u"], "u"), (vec!["x"], "u"), (vec![], "u")]
        {
            assert_eq!(bounded_by_creation(bounds.into_iter(), &dates(updated, "CreationDate")), None, "{updated}");
        }
    }
}
