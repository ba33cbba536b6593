//! The names of changed fields in events: checks what `changes` needs. Pure.

use super::ChangeBy;
use super::problems::{field, invalid};
use crate::api::conditions::Problem;
use crate::api::instance::Format;
use crate::api::resource::Resource;

/// How the changed fields of a record are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangesPlan {
    /// Fields of a record that are compared one by one.
    pub max_fields: usize,
}

/// Fields that are compared by default.
const MAX_FIELDS: i32 = 32;

/// How changed fields are found; `None` where events do not name them.
///
/// # Errors
/// Lists whose updates are not seen, and a format that has no place for the names.
pub(super) fn plan(resource: &Resource, change_by: Option<ChangeBy>, format: Format) -> Result<Option<ChangesPlan>, Problem> {
    let Some(changes) = &resource.changes else { return Ok(None) };
    let at = field(&resource.name, "changes");
    if resource.feed.is_some() {
        return Err(invalid(format!("{at} has no meaning with feed, whose records are events and never change; remove it")));
    }
    if change_by == Some(ChangeBy::Created) && resource.compare_content != Some(true) {
        return Err(invalid(format!(
            "{at} has no meaning with changeBy: Created, which sees no updates; remove one of the two"
        )));
    }
    if format == Format::OpenConnectors {
        return Err(invalid(format!(
            "{at} needs spec.callback.format: CloudEvents, since the events of OpenConnectors have no place for it; remove one of the two"
        )));
    }
    match changes.max_fields.unwrap_or(MAX_FIELDS) {
        most @ 1..=64 => Ok(Some(ChangesPlan { max_fields: most.unsigned_abs() as usize })),
        _ => Err(invalid(format!("{at}.maxFields must be between 1 and 64"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::instance::ConnectorInstance;
    use crate::plan::{print, resolve};

    fn planned(callback: &str, members: &str) -> Result<(Option<usize>, String), String> {
        let spec = format!(
            "
baseUrl: https://api.example.com
callback: {{url: 'https://h.example/in'{callback}}}
resources:
- {{name: contacts, url: /contacts, {members}}}
"
        );
        let plan = resolve(&ConnectorInstance::new("shop", serde_saphyr::from_str(&spec).unwrap()), None);
        let plan = plan.map_err(|problems| problems[0].message.clone())?;
        let printed: serde_json::Value = serde_saphyr::from_str(&print(&plan)).unwrap();
        let printed = printed["resources"][0]["changes"].as_str().unwrap_or_default().to_owned();
        Ok((plan.resources[0].changes.map(|changes| changes.max_fields), printed))
    }

    #[test]
    fn thirty_two_fields_are_compared_by_default() {
        assert_eq!(planned("", "pageSize: 5"), Ok((None, String::new())));
        assert_eq!(planned("", "changes: {}"), Ok((Some(32), "up to 32 fields of each record are compared".to_owned())));
        assert_eq!(planned("", "changes: {maxFields: 64}").map(|(most, _)| most), Ok(Some(64)));
    }

    #[test]
    fn what_never_shows_a_changed_field_is_refused() {
        let feed = "order: Descending, datesConfiguration: {createdDateField: at}, feed: {typeField: t, typeMap: {a: Created}, objectIdField: o}";
        for (callback, members, says) in [
            (", format: OpenConnectors", "changes: {}", "needs spec.callback.format: CloudEvents"),
            ("", "changes: {}, datesConfiguration: {createdDateField: at}", "changeBy: Created"),
            ("", &format!("changes: {{}}, {feed}"), "has no meaning with feed"),
            ("", "changes: {maxFields: 65}", "must be between 1 and 64"),
        ] {
            let problem = planned(callback, members).unwrap_err();
            assert!(problem.starts_with("spec.resources[contacts].changes") && problem.contains(says), "{problem}");
        }
        assert!(planned("", "changes: {}, compareContent: true, datesConfiguration: {createdDateField: at}").is_ok());
    }
}
