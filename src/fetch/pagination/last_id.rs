//! Going on behind the last record of a page. Rows that are added or removed before it do not move what follows. Pure.

use xxhash_rust::xxh3::xxh3_128;

use super::{Heard, Pager, Position};
use crate::api::conditions::{Problem, Reason};
use crate::fetch::position::{Value, carry};
use crate::plan::PaginationPlan;
use crate::plan::id::IdPlan;
use crate::plan::json;

impl Pager {
    /// Gives the records of an answer before [`Pager::next`], the last one first; `id` leads to the id of a record, which is its name in a map
    /// otherwise. The page goes on behind the last record that has one: a row without an id must not end the list.
    pub fn note_last<'a>(&mut self, from_the_end: impl Iterator<Item = (&'a str, Option<&'a str>)>, id: &IdPlan) {
        let PaginationPlan::LastId { field, .. } = &self.pagination else { return };
        let value = |(record, key): (&'a str, Option<&'a str>)| {
            let value = match (field, id) {
                (Some(path), _) | (None, IdPlan::Field(path)) => path.find(record).map(str::to_owned),
                (None, IdPlan::Key) => key.map(|key| serde_json::Value::from(key).to_string()),
                // One member alone leads to no page; the plan requires `field`.
                (None, IdPlan::Fields(_)) => None,
            };
            value.filter(|value| !matches!(value.as_bytes().first(), None | Some(b'{' | b'[' | b'n')))
        };
        self.last_id = from_the_end.map(value).find_map(|value| value);
    }

    /// The page behind the last record. Unless the response says otherwise, the list goes on until a page is empty, for pages may be short
    /// where rows are hidden.
    pub(super) fn after_last(&mut self, heard: &Heard<'_>) -> Result<Option<Position>, Problem> {
        let Heard { answer, said, repeated, repeats_first, .. } = heard;
        let last = self.last_id.take();
        if answer.record_count == 0 {
            return Ok(None);
        }
        if said.flag() == Some(false) {
            // A bound that is inclusive shows the last record once more; several of the first page say that it was ignored.
            return if *repeats_first && answer.record_count > 1 { Err(self.same_page()) } else { Ok(None) };
        }
        let PaginationPlan::LastId { parameter, place, .. } = &self.pagination else { return Ok(None) };
        let Some(json) = last else {
            return Err(Problem::human(
                Reason::InvalidResponse,
                "resources[].pagination.lastId: no record of a page has a value there, so the next page cannot be asked for; set \
                 field to the path of what the provider's documentation names",
            ));
        };
        let text = json.starts_with('"').then(|| json::scalar_text(&json).map(std::borrow::Cow::into_owned)).flatten();
        let next = carry(Value { json, text }, parameter, *place)?;
        // The parameter is ignored.
        if *repeats_first && answer.record_count > 1 {
            return Err(self.same_page());
        }
        // A bound that is inclusive shows the last record once more, and then nothing else.
        if self.asked.as_deref() == Some(next.mark()) {
            return Ok(None);
        }
        if *repeated {
            return Err(self.same_page());
        }
        if !self.seen_marks.insert(xxh3_128(next.mark().as_bytes())) {
            return Err(self.same_position());
        }
        Ok(Some(next))
    }
}
