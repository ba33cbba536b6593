//! One poller → one resource.

use serde_json::Value;

use super::dates;
use super::doubts;
use super::draft::{Draft, Known};
use super::fields::{Field, Fields, Place};
use super::hub::{self, guess};
use super::read::unwrapped;
use super::report::{Section, Verdict};
use super::settings::NO_SWITCH;
use super::value::{self, Said, duration, slug};
use crate::api::connector::ConnectorResource;
use crate::api::dates::DatesConfiguration;
use crate::api::resource::{ChangeBy, Resource};
use crate::plan::field_path::FieldPath;
use crate::plan::hub_path::{is_hub_path, stands_for};

mod id;
mod left;

/// Most records of a page, seconds of tolerance and of look-back that a manifest takes.
const MAX_PAGE: f64 = 10_000.0;
const MAX_TOLERANCE: f64 = 24.0 * 3600.0;
const MAX_LOOKBACK: f64 = 168.0 * 3600.0;
/// Most resources of an instance.
const MAX_RESOURCES: usize = 64;

/// Whether a value looks like a poller.
pub(super) fn is_poller(value: &Value) -> bool {
    let names = ["url", "idField", "datesConfiguration"];
    value.as_object().is_some_and(|object| object.keys().any(|key| names.iter().any(|name| key.eq_ignore_ascii_case(name))))
}

/// The zone that nothing says.
const GMT: &str = "GMT";

/// What all pollers of an instance are read into.
pub(super) struct Pollers<'a> {
    pub known: Known<'a>,
    /// Zone that `{TimeZone}` stands for, if a setting says it; else GMT.
    pub zone: Option<String>,
    pub draft: &'a mut Draft,
    pub section: &'a mut Section,
}

impl Pollers<'_> {
    /// Adds the resource of a poller, and those that stand inside it by mistake.
    pub fn add(&mut self, name: &str, place: &Place, poller: &Value) {
        let Some(members) = poller.as_object() else {
            let text = "it is not a poller: an object with url, idField and datesConfiguration is expected";
            self.section.ask(place, text);
            return;
        };
        if self.draft.spec.resources.len() >= MAX_RESOURCES {
            self.section.ask(place, "an instance has at most 64 resources; write a second one with this");
            return;
        }
        let mut resource = Resource { name: self.name(name), ..Resource::default() };
        let mut fields = Fields::of(place, members);
        let is_bare = members.is_empty();
        self.url(&mut resource, fields.take("url"), place, is_bare);
        self.dates(&mut resource, &mut fields);
        self.id(&mut resource, &mut fields);
        self.change_by(&mut resource, &mut fields);
        self.bounds(&mut resource, &mut fields);
        self.draft.spec.resources.push(resource);
        for field in fields {
            if is_poller(&field.value) {
                self.section.result(
                    Verdict::Changed,
                    format!("resource {}", field.name),
                    format!("it was inside {name} by mistake, and is a resource of its own"),
                );
                self.add(&field.name, &field.place, &field.value);
            } else {
                self.left(&field);
            }
        }
    }

    /// A name that a manifest takes, and that no other resource has.
    fn name(&mut self, given: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let plain: String = given.chars().map(|c| if allowed(c) { c } else { '-' }).take(58).collect();
        let plain = plain.split("--").filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let plain = plain.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let plain = if plain.is_empty() { "resource" } else { plain };
        let taken = |name: &str| self.draft.spec.resources.iter().any(|other| other.name == name);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let name = std::iter::once(plain.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
        if name != given {
            let what = format!("resource {name}");
            self.section.differs(what, format!("was {given:?}; events carry the new name as objectType"));
        }
        name
    }

    fn url(&mut self, resource: &mut Resource, field: Option<Field>, place: &Place, is_bare: bool) {
        let given = field.as_ref().map_or(Said::Nothing, |field| Said::of(&field.value));
        if let (Said::Structure | Said::Masked, Some(field)) = (&given, &field) {
            self.section.ask(&field.place, "it is not a URL; write the path of the resource");
            return;
        }
        let Said::Text(url) = given else {
            let own = self.known.spec.is_some_and(|spec| spec.resources.iter().any(|r| r.resource.name == resource.name));
            let (verdict, text) = if own {
                (Verdict::Kept, "the connector's resource of this name".to_owned())
            } else if let Some((path, entry)) = self.known.spec.and_then(|spec| hub::of_name(spec, &resource.name)) {
                resource.url = Some(path.to_owned());
                (Verdict::Changed, format!("url is {path}, for which the connector's resource {entry} answers"))
            } else {
                let path = format!("/{}", resource.name);
                let text = format!("no URL is given: url is {path}, a guess; write the provider's own path");
                resource.url = Some(path);
                (Verdict::ToDo, text)
            };
            match field {
                Some(field) => self.section.field(verdict, &field.place, text),
                None if is_bare => self.section.field(verdict, place, text),
                None => self.section.result(verdict, format!("resource {}", resource.name), text),
            }
            return;
        };
        let Some(field) = field else { return };
        let translated = hub::translate(&url, &resource.name, self.known, self.zone.as_deref().unwrap_or(GMT));
        let (verdict, text) = translated.verdict();
        self.section.field(verdict, &field.place, text);
        resource.url = translated.url;
        resource.query = translated.query;
        let secret = format!("{}-more", self.draft.name);
        for (key, value) in translated.secrets {
            self.draft.secrets.keep(&secret, &secret_key(&key), Some(value));
        }
        if let Some(path) = &translated.lacking {
            let entry = (resource.name.clone(), guess(path));
            self.draft.stub.paths.entry(path.trim_matches('/').to_owned()).or_insert(entry);
            self.draft.stub.parameters.extend(translated.wanted.iter().cloned());
        }
        self.draft.wanted.extend(translated.wanted);
    }

    fn dates(&mut self, resource: &mut Resource, fields: &mut Fields) {
        let Some(field) = fields.take("datesConfiguration") else {
            self.without_dates(resource);
            return;
        };
        let unwrapped = field.value.as_str().and_then(unwrapped);
        let members = match unwrapped.as_ref().unwrap_or(&field.value) {
            Value::Object(members) if !members.is_empty() => members,
            value if Said::of(value) == Said::Nothing || value.as_object().is_some() => {
                self.section.dropped(&field.place, "it is empty: changes are found by the connector's dates, or by content");
                return;
            }
            _ => {
                self.section.ask(&field.place, "it is not an object with the fields and formats of the dates; write it as one");
                return;
            }
        };
        let mut inner = Fields::of(&field.place, members);
        let mut dates = DatesConfiguration::default();
        let zones = ["updatedDateTimezone", "createdDateTimezone"].map(|name| inner.peek(name).and_then(text_of));
        let texts = ["updatedDateField", "createdDateField"].map(|name| inner.peek(name).and_then(text_of));
        let [updated_doubt, created_doubt] = self.doubts_of_dates(resource, &texts);
        dates.updated_date_field = self.path(inner.take("updatedDateField"), updated_doubt);
        dates.updated_date_format = self.pattern(inner.take("updatedDateFormat"), zones[0].as_deref());
        dates.updated_date_timezone = self.zone(inner.take("updatedDateTimezone"));
        dates.created_date_field = self.path(inner.take("createdDateField"), created_doubt);
        dates.created_date_format = self.pattern(inner.take("createdDateFormat"), zones[1].as_deref());
        let brings = |entry: &Resource| entry.dates_configuration.as_ref().is_some_and(|own| own.created_date_format.is_some());
        if dates.created_date_field.is_some()
            && dates.created_date_format.is_none()
            && dates.updated_date_format.is_some()
            && !self.entry_of(resource).is_some_and(brings)
        {
            dates.created_date_format.clone_from(&dates.updated_date_format);
            let text = "createdDateFormat is not given: the format of the updated date applies";
            self.section.result(Verdict::Changed, format!("resource {}", resource.name), text);
        }
        dates.created_date_timezone = self.zone(inner.take("createdDateTimezone"));
        // These belong one level up, and are met here.
        for name in ["createdCheckTolerance", "pollDelay", "pageSize", "filterByUpdatedDate", "filterByUpdateDate", "idField"] {
            if let Some(field) = inner.take(name) {
                fields.add(field);
            }
        }
        if dates.updated_date_field.is_none() && dates.created_date_field.is_none() {
            if dates != DatesConfiguration::default() {
                let text = "datesConfiguration names no field, so its formats and zones are not used";
                self.section.differs(format!("resource {}", resource.name), text);
            }
            self.without_dates(resource);
        } else {
            let bounds = resource.query.iter().filter(|(_, value)| value.contains("${")).map(|(name, _)| name.as_str());
            if let Some(doubt) = doubts::bounded_by_creation(bounds, &dates) {
                self.section.result(Verdict::ToDo, format!("resource {}", resource.name), doubt);
            }
            resource.dates_configuration = Some(dates);
        }
        for field in inner {
            self.left(&field);
        }
    }

    fn without_dates(&mut self, resource: &Resource) {
        let brings = self.entry_of(resource).is_some_and(|entry| entry.dates_configuration.is_some());
        let text = if brings {
            "no dates are configured: the connector's apply"
        } else {
            "no dates are configured: changes are found by content, where Open Connectors sends every record that it reads"
        };
        self.section.result(Verdict::Changed, format!("resource {}", resource.name), text);
    }

    /// The connector's resource below this one.
    fn entry_of(&self, resource: &Resource) -> Option<&Resource> {
        self.connector_resource(resource).map(|entry| &entry.resource)
    }

    fn connector_resource(&self, resource: &Resource) -> Option<&ConnectorResource> {
        let spec = self.known.spec?;
        let by_path = resource.url.as_deref().and_then(|url| stands_for(url, spec));
        let by_name = || spec.resources.iter().find(|entry| entry.resource.name == resource.name);
        by_path.or_else(by_name)
    }

    /// What is odd about the fields of the dates of change and creation.
    fn doubts_of_dates(&self, resource: &Resource, given: &[Option<String>; 2]) -> [Option<String>; 2] {
        let [updated, created] = given.each_ref().map(Option::as_deref);
        let entry = self.replacing(resource).and_then(|entry| Some((entry.name.as_str(), entry.dates_configuration.as_ref()?)));
        let other = |given: Option<&str>, own: fn(&DatesConfiguration) -> Option<&String>| {
            let (entry, dates) = entry?;
            doubts::other_field(given?, own(dates)?, entry)
        };
        let swapped = updated.zip(created).and_then(|(updated, created)| doubts::swapped(updated, created));
        [
            swapped.or_else(|| other(updated, |dates| dates.updated_date_field.as_ref())),
            other(created, |dates| dates.created_date_field.as_ref()),
        ]
    }

    /// The entry of the catalog that answers for a resource, in the provider's own words instead of those of a hub.
    fn replacing(&self, resource: &Resource) -> Option<&Resource> {
        let is_answered = self.known.filters.is_none() && resource.url.as_deref().is_none_or(is_hub_path);
        self.entry_of(resource).filter(|_| is_answered)
    }

    /// A path in the record, as it is, and what a person must check about it.
    fn path(&mut self, field: Option<Field>, doubt: Option<String>) -> Option<String> {
        let field = field?;
        match Said::of(&field.value) {
            Said::Nothing => self.section.dropped(&field.place, "it is empty"),
            Said::Text(path) if path.len() <= 256 && FieldPath::parse(&path).is_ok() => {
                match doubt {
                    Some(doubt) => {
                        let text = format!("{}; {doubt}", shown(&path));
                        self.section.without_effect(Verdict::ToDo, &field.place, text);
                    }
                    None => self.section.kept(&field.place, shown(&path)),
                }
                return Some(path);
            }
            _ => self.section.ask(&field.place, "it is not a path in a record, and was left out; write one such as data.id"),
        }
        None
    }

    fn pattern(&mut self, field: Option<Field>, zone: Option<&str>) -> Option<String> {
        self.repaired(field, |given| dates::pattern(given, zone))
    }

    fn zone(&mut self, field: Option<Field>) -> Option<String> {
        let is_meant = field.as_ref().and_then(text_of).is_some_and(|given| given.eq_ignore_ascii_case("{timezone}"));
        match (self.zone.clone(), &field) {
            (None, Some(field)) if is_meant => {
                self.section.adjusted(&field.place, "GMT, since no setting says what {TimeZone} stands for");
                Some(GMT.to_owned())
            }
            (own, _) => self.repaired(field, |given| dates::zone(own.as_deref().filter(|_| is_meant).unwrap_or(given))),
        }
    }

    fn repaired(&mut self, field: Option<Field>, repair: impl Fn(&str) -> dates::Repaired) -> Option<String> {
        let field = field?;
        let text = match Said::of(&field.value) {
            Said::Nothing => {
                self.section.dropped(&field.place, "it is empty: the default applies");
                return None;
            }
            Said::Text(text) => text,
            _ => String::new(),
        };
        let repaired = repair(&text);
        let verdict = match (repaired.is_guess, &repaired.text) {
            (true, _) => Verdict::ToDo,
            (false, Some(written)) if *written == text => Verdict::Kept,
            (false, _) => Verdict::Changed,
        };
        let written = repaired.text.as_deref().map(shown);
        let said: Vec<_> = written.into_iter().chain(repaired.note).collect();
        self.section.field(verdict, &field.place, said.join("; "));
        repaired.text
    }

    fn change_by(&mut self, resource: &mut Resource, fields: &mut Fields) {
        let created = |dates: Option<&DatesConfiguration>| dates.is_some_and(|dates| dates.created_date_field.is_some());
        for name in ["filterByUpdatedDate", "filterByUpdateDate"] {
            let Some(field) = fields.take(name) else { continue };
            let has_created = created(resource.dates_configuration.as_ref())
                || created(self.entry_of(resource).and_then(|entry| entry.dates_configuration.as_ref()));
            match value::switch(&field.value) {
                Some(false) if has_created => {
                    resource.change_by = Some(ChangeBy::Created);
                    self.section.changed(&field.place, "changeBy: Created; updates of records are not seen");
                }
                Some(false) => {
                    let text = "there is no created date to use: the date of change decides, or the content";
                    self.section.without_effect(Verdict::Dropped, &field.place, text);
                }
                Some(true) if self.entry_of(resource).is_some_and(|entry| entry.change_by == Some(ChangeBy::Created)) => {
                    resource.change_by = Some(ChangeBy::Updated);
                    self.section.changed(&field.place, "changeBy: Updated");
                }
                None if Said::of(&field.value) != Said::Nothing => self.section.ask(&field.place, NO_SWITCH),
                Some(true) | None => self.section.dropped(&field.place, "the date of change decides in any case"),
            }
        }
    }

    fn bounds(&mut self, resource: &mut Resource, fields: &mut Fields) {
        resource.created_tolerance = self.seconds(fields.take("createdCheckTolerance"), "createdTolerance", MAX_TOLERANCE);
        resource.lookback = self.seconds(fields.take("pollDelay"), "lookback", MAX_LOOKBACK);
        if let Some(field) = fields.take("pageSize") {
            if let Some(size) = value::number(&field.value).filter(|size| *size >= 1.0) {
                let most = self.connector_resource(resource).and_then(|entry| entry.max_page_size);
                let most = most.map_or(MAX_PAGE, |most| MAX_PAGE.min(f64::from(most)));
                let most = size.min(most);
                #[allow(clippy::cast_possible_truncation, reason = "at most 10,000")]
                let written = most as i32;
                resource.page_size = Some(written);
                if most < size {
                    self.section.adjusted(&field.place, format!("pageSize: {written}, the most that is possible"));
                } else if f64::from(written) < size {
                    self.section.adjusted(&field.place, format!("pageSize: {written}, without the fraction"));
                } else {
                    self.section.kept(&field.place, format!("pageSize: {written}"));
                }
            } else {
                let text = "it is not a number of records: the connector's page size applies";
                self.section.without_effect(Verdict::Dropped, &field.place, text);
            }
        }
    }

    fn seconds(&mut self, field: Option<Field>, name: &str, most: f64) -> Option<String> {
        let field = field?;
        let Some(seconds) = value::number(&field.value) else {
            let text = format!("it is not a number of seconds: the default of {name} applies");
            self.section.without_effect(Verdict::Dropped, &field.place, text);
            return None;
        };
        let written = duration(seconds.min(most));
        if seconds > most {
            self.section.adjusted(&field.place, format!("{name}: {written}, the most that is possible"));
        } else {
            self.section.changed(&field.place, format!("{name}: {written}"));
        }
        Some(written)
    }
}

fn text_of(field: &Field) -> Option<String> {
    if let Said::Text(text) = Said::of(&field.value) { Some(text) } else { None }
}

/// A text of the input that is known to be harmless, in one line of moderate length.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// A key that a Secret takes.
pub(super) fn secret_key(name: &str) -> String {
    let key: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(200).collect();
    if key.is_empty() || slug(&key).is_empty() { "value".to_owned() } else { key }
}
