//! The values of the records for which lists of another resource are polled. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use super::record::{Record, RecordReader};
use super::selection::Selection;
use crate::plan::ResourcePlan;
use crate::plan::field_path::FieldPath;
use crate::plan::for_each::refusal;
use crate::plan::json::scalar_text;

/// Most parents of a resource.
pub const MAX_PARENTS: usize = 5_000;

/// There are more parents than can be polled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyParents;

/// Gathers the values of parents, page by page.
#[derive(Debug)]
pub struct Parents<'p> {
    reader: RecordReader<'p>,
    selection: Selection<'p>,
    field: Option<&'p FieldPath>,
    values: Vec<Arc<str>>,
    seen: HashSet<Arc<str>>,
    unusable: u64,
}

impl<'p> Parents<'p> {
    /// None yet. `list` is that of the parents, and `field` where they have the value; `None`: it is their id.
    pub fn new(list: &'p ResourcePlan, field: Option<&'p FieldPath>) -> Self {
        Self {
            reader: RecordReader::new(&list.extract),
            selection: Selection::new(list.extract.filter.as_ref()),
            field,
            values: Vec::new(),
            seen: HashSet::new(),
            unusable: 0,
        }
    }

    /// Takes in the records of a page. Those that are deleted, or that the filter of their resource excludes, are no parents.
    ///
    /// # Errors
    /// [`TooManyParents`].
    pub fn page<'r>(&mut self, records: impl Iterator<Item = Record<'r>>) -> Result<(), TooManyParents> {
        for record in records {
            let Ok(mut view) = self.reader.read(record.json, record.key) else {
                self.unusable += 1;
                continue;
            };
            view.selected = self.selection.of(record.json);
            if view.is_gone() {
                continue;
            }
            let value = match self.field {
                Some(path) => path.find(record.json).and_then(scalar_text),
                None => Some(view.id.clone()),
            };
            match value.filter(|value| refusal(value).is_none()).map(|value| Arc::<str>::from(&*value)) {
                None => self.unusable += 1,
                Some(value) if self.seen.contains(&value) => {}
                Some(_) if self.values.len() >= MAX_PARENTS => return Err(TooManyParents),
                Some(value) => {
                    self.seen.insert(Arc::clone(&value));
                    self.values.push(value);
                }
            }
        }
        Ok(())
    }

    /// Number of parents so far.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// No parent so far.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values, in the order of the list, and the number of records without one that can be used.
    pub fn end(self) -> (Vec<Arc<str>>, u64) {
        (self.values, self.unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;

    #[test]
    fn each_living_record_is_a_parent_once() {
        let list = sample::resource();
        let record = |json| Record { json, key: None };
        let rows = [
            r#"{"id": 7, "key": "a"}"#,
            r#"{"id": 8, "key": "b", "deleted": true}"#,
            r#"{"id": 9, "key": "a"}"#,
            r#"{"id": 10}"#,
            r#"{"id": 11, "key": ".."}"#,
            r#"{"id": 12, "key": 9007199254740993}"#,
            r#"{"key": "c"}"#,
        ];
        let gathered = |field: Option<&FieldPath>| {
            let mut parents = Parents::new(&list, field);
            parents.page(rows.into_iter().map(record)).unwrap();
            let (values, unusable) = parents.end();
            (values.join(" "), unusable)
        };
        assert_eq!(gathered(Some(&FieldPath::parse("key").unwrap())), ("a 9007199254740993".to_owned(), 3));
        assert_eq!(gathered(None), ("7 9 10 11 12".to_owned(), 1));
        let many: Vec<_> = (0..=MAX_PARENTS).map(|id| format!("{{\"id\": {id}}}")).collect();
        let read = |count: usize| Parents::new(&list, None).page(many[..count].iter().map(|json| record(json)));
        assert_eq!((read(MAX_PARENTS), read(MAX_PARENTS + 1)), (Ok(()), Err(TooManyParents)));
    }
}
