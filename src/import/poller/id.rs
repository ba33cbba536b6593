//! Where the records of a poller have their id.

use super::Pollers;
use super::{shown, text_of};
use crate::api::resource::Resource;
use crate::import::doubts;
use crate::import::fields::{Field, Fields};
use crate::import::value::Said;
use crate::plan::field_path::FieldPath;
use crate::plan::id::MAX_MEMBERS;

impl Pollers<'_> {
    /// Where the records have their id.
    pub(super) fn id(&mut self, resource: &mut Resource, fields: &mut Fields) {
        let id = fields.take("idField");
        let says = id.as_ref().map_or(Said::Nothing, |field| Said::of(&field.value));
        match (id, says) {
            (None, _) => {}
            (Some(field), Said::Nothing) if self.entry_of(resource).is_some() => {
                self.section.dropped(&field.place, "it is empty: the connector's applies");
            }
            (Some(field), Said::Nothing) => {
                self.section
                    .ask(&field.place, "it is empty: the connector's applies, else \"id\"; write the path of a unique field");
            }
            (field, _) => resource.id_field = self.id_path(resource, field),
        }
        if resource.id_field.is_none()
            && let Some(field) = fields.take("xPath")
        {
            resource.id_field = self.id_path(resource, Some(field));
        }
        if let Some(field) = fields.take("idFields") {
            self.several_ids(resource, &field);
        }
    }

    /// The members of an id as the instances API shows them. Open Connectors has one member.
    fn several_ids(&mut self, resource: &mut Resource, field: &Field) {
        if resource.id_field.is_some() {
            self.section.lost(&field.place, "idField says where the id is");
            return;
        }
        let paths = field.value.as_array().map(|paths| paths.iter().map(Said::of).collect::<Vec<_>>()).unwrap_or_default();
        let usable = |path: &Said| match path {
            Said::Text(path) if path.len() <= 256 && FieldPath::parse(path).is_ok() => Some(path.clone()),
            _ => None,
        };
        match paths.iter().map(usable).collect::<Option<Vec<_>>>() {
            Some(paths) if (2..=MAX_MEMBERS).contains(&paths.len()) => {
                self.section.kept(&field.place, shown(&paths.join(", ")));
                resource.id_fields = paths;
            }
            _ => self.section.ask(&field.place, "it is not a list of 2 to 4 paths in a record, and was left out"),
        }
    }

    fn id_path(&mut self, resource: &Resource, field: Option<Field>) -> Option<String> {
        let given = field.as_ref().and_then(text_of);
        // Of an id of several members Open Connectors has one.
        let entry = self.replacing(resource).filter(|entry| entry.id_fields.is_empty());
        let own = entry.map(|entry| (entry.name.as_str(), entry.id_field.as_deref().unwrap_or("id")));
        let doubt = given.as_deref().zip(own).and_then(|(given, (entry, own))| doubts::other_field(given, own, entry));
        self.path(field, doubt)
    }
}
