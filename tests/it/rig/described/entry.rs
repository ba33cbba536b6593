//! One resource of an entry with what was published of it: records and answers are made from both.

use chrono::{DateTime, TimeDelta, Utc};
use pollinator::api::connector::{ConnectorResource, ConnectorSpec};
use pollinator::api::deletes::Deletes;
use pollinator::api::feed::FeedKind;
use pollinator::api::resource::{ChangeBy, Order, Pagination, RecordsAs, Resource};
use pollinator::plan::date_format::DateFormat;
use pollinator::plan::field_path::{FieldPath, Segment};
use serde_json::{Map, Value, json};

use super::description::{Description, Operation};
use super::published;
use super::value::{self, kind, parts};

/// Records that every list begins with.
const AT_FIRST: usize = 5;

/// One record of the mock.
#[derive(Clone, Debug)]
pub struct Record {
    number: usize,
    updated: DateTime<Utc>,
    created: DateTime<Utc>,
    version: usize,
}

/// A resource that the mock answers for.
pub struct Mocked {
    pub key: &'static str,
    pub resource: ConnectorResource,
    pub pagination: Option<Pagination>,
    pub operation: Operation<'static>,
    /// Where the list is in an answer.
    list: Vec<String>,
    envelope: Value,
    template: Value,
    item: Value,
    records: Vec<Record>,
    now: DateTime<Utc>,
}

impl Mocked {
    /// `None`: the description has no such operation.
    pub fn new(
        key: &'static str,
        connector: &ConnectorSpec,
        resource: &ConnectorResource,
        descriptions: &'static [Description],
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let method = published::method(resource.resource.method);
        let address = published::address(key, connector.base_url.as_deref(), resource.resource.url.as_deref());
        let operation = descriptions.iter().find_map(|one| one.operation(method, &address))?;
        let description = operation.description;
        let answer = operation.answer().unwrap_or(&Value::Null);
        let list = list_path(description, answer, resource.resource.records_path.as_deref());
        let item = item(description, answer, &list);
        let mut envelope = value::of(description, answer);
        if !envelope.is_object() {
            envelope = json!({});
        }
        let template = value::of(description, &item);
        let template = if template.is_object() { template } else { json!({}) };
        let record = |number: usize| {
            let age = TimeDelta::days(2 + i64::try_from(AT_FIRST - number).unwrap_or_default());
            Record { number, updated: now - age, created: now - age - TimeDelta::hours(1), version: 0 }
        };
        let records = (0..AT_FIRST).map(record).collect();
        let pagination = resource.resource.pagination.clone().or_else(|| connector.pagination.clone());
        Some(Self { key, resource: resource.clone(), pagination, operation, list, envelope, template, item, records, now })
    }

    pub fn name(&self) -> &str {
        &self.resource.resource.name
    }

    /// The ids of all records, as events have them.
    pub fn ids(&self) -> Vec<String> {
        self.records.iter().map(|record| self.id_in(record)).collect()
    }

    /// The id as it is in the record: in some the date is the id, too.
    fn id_in(&self, record: &Record) -> String {
        self.id_of(&self.record(record))
    }

    pub fn total(&self) -> usize {
        self.records.len()
    }

    /// Something happens to one record, or a new one appears where only those are seen. Its id.
    pub fn change(&mut self, at: DateTime<Utc>) -> String {
        let dates = self.resource.resource.dates_configuration.clone().unwrap_or_default();
        let by = self.resource.resource.change_by;
        let only_new = by == Some(ChangeBy::Created)
            || (by.is_none() && dates.updated_date_field.is_none() && dates.created_date_field.is_some());
        self.now = at;
        if only_new {
            let number = self.records.len();
            self.records.push(Record { number, updated: at, created: at, version: 0 });
            return self.id_in(&self.records[number]);
        }
        // Each time another one, by turns, so that a list is no longer in the order of its ids.
        let turn = self.records.iter().map(|record| record.version).sum::<usize>();
        let changed = (turn * 2 + 1) % self.records.len();
        let record = &mut self.records[changed];
        (record.updated, record.version) = (at, record.version + 1);
        self.id_in(&self.records[changed])
    }

    /// How many records stand before the one that follows an id.
    pub fn after(&self, id: &str) -> Option<usize> {
        self.listed().iter().position(|record| self.id_in(record) == id).map(|place| place + 1)
    }

    /// The records of one page, from `skip` on, at most `most`, and whether there are more.
    pub fn page(&self, skip: usize, most: usize) -> (Vec<Value>, bool) {
        let records = self.listed();
        let has_more = records.len() > skip + most;
        (records.into_iter().skip(skip).take(most).map(|record| self.record(record)).collect(), has_more)
    }

    /// All records, in the order of the list.
    fn listed(&self) -> Vec<&Record> {
        let mut records: Vec<_> = self.records.iter().collect();
        match self.resource.resource.order {
            Some(Order::Ascending) => records.sort_by_key(|record| record.updated),
            Some(Order::Descending) => records.sort_by_key(|record| std::cmp::Reverse(record.updated)),
            Some(Order::Unordered) | None => {}
        }
        records
    }

    /// The whole answer. `extra` are members beside the list; null removes one.
    pub fn answer(&self, records: Vec<Value>, facts: PageFacts, extra: &[(String, Value)]) -> Value {
        let list = if self.resource.resource.records_as == Some(RecordsAs::Map) {
            Value::Object(records.into_iter().map(|record| (self.id_of(&record), record)).collect::<Map<_, _>>())
        } else {
            Value::Array(records)
        };
        if self.list.is_empty() {
            return list;
        }
        let mut answer = self.envelope.clone();
        tell_truth(&mut answer, facts);
        set(&mut answer, &self.list, list);
        for (path, value) in extra {
            set(&mut answer, &steps(path), value.clone());
        }
        answer
    }

    /// Where a record has its id, or the member of it that distinguishes all records.
    fn id_path(&self) -> Vec<String> {
        self.id_paths().pop().expect("an id has a member")
    }

    fn id_paths(&self) -> Vec<Vec<String>> {
        let Resource { id_field, id_fields, .. } = &self.resource.resource;
        if id_fields.is_empty() {
            return vec![steps(id_field.as_deref().unwrap_or("id"))];
        }
        id_fields.iter().map(|field| steps(field)).collect()
    }

    /// The id of a record, as events carry it.
    fn id_of(&self, record: &Value) -> String {
        let members = self.id_paths().iter().map(|path| get(record, path).map_or_else(String::new, text)).collect::<Vec<_>>();
        match members.as_slice() {
            [single] => single.clone(),
            several => several.iter().map(|text| text.replace('%', "%25").replace(':', "%3A")).collect::<Vec<_>>().join(":"),
        }
    }

    fn id(&self, number: usize) -> Value {
        let schema = self.schema(&self.id_path());
        let parts = parts(self.operation.description, &schema);
        match (kind(&parts), parts.iter().find_map(|part| part["format"].as_str())) {
            (Some("integer" | "number"), _) => json!(1001 + number),
            (_, Some("uuid")) => json!(format!("00000000-0000-4000-8000-{:012}", 1001 + number)),
            (_, Some("uri")) => json!(format!("https://example.com/records/{}", 1001 + number)),
            _ => json!(format!("r{}", 1001 + number)),
        }
    }

    fn schema(&self, path: &[String]) -> Value {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let (_, schemas) = self.operation.description.member(&self.item, &path);
        json!({"allOf": schemas})
    }

    fn record(&self, record: &Record) -> Value {
        let resource = &self.resource.resource;
        let mut made = self.template.clone();
        let dates = resource.dates_configuration.clone().unwrap_or_default();
        if record.version > 0 && !touch(&mut made, &self.spared(), record.version) {
            made["touched"] = json!(record.version);
        }
        if resource.id_field.is_some() || !resource.id_fields.is_empty() || resource.records_as != Some(RecordsAs::Map) {
            set(&mut made, &self.id_path(), self.id(record.number));
        } else {
            set(&mut made, &["id".to_owned()], self.id(record.number));
        }
        for (field, format, zone, at) in [
            (&dates.created_date_field, &dates.created_date_format, &dates.created_date_timezone, record.created),
            (&dates.updated_date_field, &dates.updated_date_format, &dates.updated_date_timezone, record.updated),
        ] {
            let Some(field) = field else { continue };
            let own = || {
                let zone = zone.as_deref().filter(|zone| !zone.contains('{'));
                let format = DateFormat::new(format.as_deref(), zone).expect("an entry that plans");
                let text = format.format(at);
                text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
            };
            let schema = self.schema(&steps(field));
            let written = value::date(self.operation.description, &schema, at).unwrap_or_else(own);
            set(&mut made, &steps(field), written);
        }
        if let Some(Deletes::Flag(flag)) = &resource.deletes {
            set(&mut made, &steps(&flag.field), self.alive(&flag.field, flag.value.as_deref()));
        }
        // Each event is the first one about an object of the same id.
        if let Some(feed) = &resource.feed {
            let created = feed.type_map.iter().find(|(_, kind)| **kind == FeedKind::Created);
            set(&mut made, &steps(&feed.type_field), json!(created.map(|(name, _)| name).expect("a type that creates")));
            set(&mut made, &steps(&feed.object_id_field), self.id(record.number));
        }
        made
    }

    /// What the flag of deleted records is on one that lives.
    fn alive(&self, field: &str, mark: Option<&str>) -> Value {
        let schema = self.schema(&steps(field));
        let parts = parts(self.operation.description, &schema);
        match (kind(&parts), mark) {
            (Some("boolean"), Some(mark)) => json!(mark != "true"),
            (Some("boolean"), None) => json!(false),
            (_, None) => Value::Null,
            (_, Some(mark)) => {
                let values = parts.iter().filter_map(|part| part["enum"].as_array()).flatten();
                values.filter(|value| value.is_string()).find(|value| *value != mark).cloned().unwrap_or_else(|| json!("alive"))
            }
        }
    }

    /// Members that are not to be touched by a change.
    fn spared(&self) -> Vec<String> {
        let resource = &self.resource.resource;
        let dates = resource.dates_configuration.clone().unwrap_or_default();
        let mut spared = self.id_paths();
        spared.extend([dates.updated_date_field, dates.created_date_field].into_iter().flatten().map(|field| steps(&field)));
        spared.extend(resource.ignore_fields.iter().map(|field| steps(field)));
        if let Some(Deletes::Flag(flag)) = &resource.deletes {
            spared.push(steps(&flag.field));
        }
        spared.into_iter().filter_map(|path| path.into_iter().next()).collect()
    }
}

/// Changes the first text at the top of a record that means nothing to the engine.
fn touch(record: &mut Value, spared: &[String], version: usize) -> bool {
    let members = record.as_object_mut().into_iter().flatten();
    let found = members.filter(|(name, _)| !spared.contains(name)).find_map(|(_, value)| (value == "text").then_some(value));
    found.map(|value| *value = json!(format!("text {version}"))).is_some()
}

/// What is true of one page: members of an answer that say so must agree with it.
#[derive(Clone, Copy, Debug)]
pub struct PageFacts {
    /// Number of this page, the first is 1.
    pub number: usize,
    /// Records of a page.
    pub size: usize,
    /// Records in all.
    pub total: usize,
    pub has_more: bool,
}

/// Members that tell of pages and counts say the truth; those whose meaning their name does not tell are left out.
fn tell_truth(envelope: &mut Value, facts: PageFacts) {
    let Some(members) = envelope.as_object_mut() else { return };
    members.retain(|name, value| {
        value.is_object() || !name.to_lowercase().contains("count") && !name.to_lowercase().contains("error")
    });
    for (name, value) in members {
        let name = name.to_lowercase();
        if value.is_boolean() {
            let is_about_end = ["last", "end_of", "done", "complete"].iter().any(|word| name.contains(word));
            // No row is missing from an answer.
            let is_about_gaps = ["incomplete", "partial"].iter().any(|word| name.contains(word));
            *value = json!(match () {
                () if is_about_gaps => false,
                () if is_about_end => !facts.has_more,
                () => name.contains("success") || name == "ok" || facts.has_more,
            });
        } else if value.is_string() && name.contains("next") && !facts.has_more {
            *value = Value::Null;
        } else if value.is_number() && name.contains("offset") {
            let skipped = (facts.number - usize::from(!name.contains("next"))) * facts.size;
            *value = json!(skipped);
        } else if value.is_number() && name.contains("pages") {
            *value = json!(facts.total.div_ceil(facts.size));
        } else if value.is_number() && name.contains("total") {
            *value = json!(facts.total);
        } else if value.is_number() && name.contains("page") && !name.contains("size") && !name.contains("per") {
            *value = json!(facts.number);
        }
        tell_truth(value, facts);
    }
}

/// Where the list is in an answer: what the entry says, or where the only array is.
fn list_path(description: &Description, answer: &Value, said: Option<&str>) -> Vec<String> {
    if let Some(said) = said {
        return steps(said);
    }
    let parts = parts(description, answer);
    if kind(&parts) == Some("array") || parts.iter().any(|part| part.get("items").is_some()) {
        return Vec::new();
    }
    let members = parts.iter().filter_map(|part| part["properties"].as_object()).flatten();
    let is_array = |schema: &Value| kind(&self::parts(description, schema)) == Some("array");
    members.filter(|(_, schema)| is_array(schema)).map(|(name, _)| vec![name.clone()]).next().unwrap_or_default()
}

fn item(description: &Description, answer: &Value, list: &[String]) -> Value {
    let (_, lists) = description.member(answer, &list.iter().map(String::as_str).collect::<Vec<_>>());
    let items =
        |list: &&Value| [&list["items"], &list["additionalProperties"]].into_iter().find(|items| items.is_object()).cloned();
    lists.iter().find_map(items).unwrap_or_default()
}

pub fn steps(path: &str) -> Vec<String> {
    let path = FieldPath::parse(path).expect("a path of an entry");
    let step = |segment: &Segment| match segment {
        Segment::Key(key) => key.clone(),
        Segment::Index(index) => index.to_string(),
    };
    path.segments().iter().map(step).collect()
}

pub fn set(within: &mut Value, path: &[String], value: Value) {
    let Some((last, before)) = path.split_last() else { return };
    let mut here = within;
    for step in before {
        if here.is_null() || here.is_string() {
            *here = json!({});
        }
        here = match here {
            Value::Array(items) => {
                let at: usize = step.parse().unwrap_or_default();
                items.resize(items.len().max(at + 1), json!({}));
                &mut items[at]
            }
            other => &mut other[step.as_str()],
        };
    }
    if here.is_null() || here.is_string() {
        *here = json!({});
    }
    if here.is_object() {
        here[last.as_str()] = value;
    }
}

pub fn get<'a>(within: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(within, |here, step| match here {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

/// An id as events have it.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
