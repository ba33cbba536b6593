//! Paths of a manifest that no record has, though it says what is to be done there: most likely they are misspelt, and nothing is masked,
//! left out or ignored. Pure.
//!
//! Records may lack optional members, so a path counts as absent only where enough of them lack it, or where they have a member of a
//! similar name. A record in which the path ends at `null` or at an empty list says nothing.

use std::fmt;

use super::canonical::{below_element, below_key};
use crate::api::nearest::plain;
use crate::plan::ResourcePlan;
use crate::plan::field_path::{FieldPath, Segment};
use crate::plan::json::{for_each_element, for_each_member, member};
use crate::plan::shaping::Members;

/// Records that lack a path, where they have a member of a similar name.
const SOME: u64 = 5;
/// The same where they have none.
const MANY: u64 = 20;
/// Records of which one may show a member of a similar name.
const LOOKED_AT: u64 = 5;
/// Paths that are shown at most.
const SHOWN: usize = 3;

/// What is done at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The value is replaced.
    Mask,
    /// The member is left out.
    Drop,
    /// All others are left out.
    Keep,
    /// The member is not compared.
    Ignore,
    /// It is what is delivered of an event of a feed.
    Object,
}

impl Purpose {
    const fn field(self) -> &'static str {
        match self {
            Self::Mask => "maskFields",
            Self::Drop => "dropFields",
            Self::Keep => "keepFields",
            Self::Ignore => "ignoreFields",
            Self::Object => "feed.objectField",
        }
    }

    const fn consequence(self) -> &'static str {
        match self {
            Self::Mask => "nothing is masked there",
            Self::Drop => "nothing is left out there",
            Self::Keep => "nothing is delivered for it",
            Self::Ignore => "nothing is ignored there",
            Self::Object => "the whole event is delivered",
        }
    }

    /// Members that must not leave are delivered.
    const fn protects(self) -> bool {
        matches!(self, Self::Mask | Self::Drop)
    }
}

/// Which JSON a record is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A row of the list.
    Row,
    /// What is delivered of it, before it is shaped.
    Delivered,
}

/// The paths of a plan that apply there, in a fixed order.
fn paths(plan: &ResourcePlan, part: Part) -> impl Iterator<Item = (Purpose, &FieldPath)> {
    let extract = &plan.extract;
    let (kept, dropped): (&[FieldPath], &[FieldPath]) = match &extract.shape.members {
        Members::All => (&[], &[]),
        Members::Keep(paths) => (paths, &[]),
        Members::Drop(paths) => (&[], paths),
    };
    let masked = extract.shape.masked.iter().map(|masked| (Purpose::Mask, &masked.path));
    let shape =
        masked.chain(dropped.iter().map(|path| (Purpose::Drop, path))).chain(kept.iter().map(|path| (Purpose::Keep, path)));
    let ignored = extract.ignored.iter().map(|path| (Purpose::Ignore, path));
    let object = plan.feed.as_ref().and_then(|feed| feed.object.as_ref()).map(|path| (Purpose::Object, path));
    let is_row = part == Part::Row;
    shape.filter(move |_| !is_row).chain(ignored.chain(object).filter(move |_| is_row))
}

/// What the records of a poll show of one part.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    own: Vec<Sighting>,
}

/// What they show of one path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sighting {
    is_there: bool,
    /// Records of this listing that lack it.
    lacking: u64,
    /// The most of a listing.
    most: u64,
    near: Option<String>,
}

impl Sightings {
    /// Another listing begins.
    pub(super) fn begin_listing(&mut self) {
        self.own.iter_mut().for_each(|own| own.lacking = 0);
    }

    /// Notes which paths the JSON of a record has.
    pub fn note(&mut self, plan: &ResourcePlan, part: Part, json: &str) {
        for (index, (_, path)) in paths(plan, part).enumerate() {
            if self.own.len() <= index {
                self.own.push(Sighting::default());
            }
            let own = &mut self.own[index];
            if own.is_there {
                continue;
            }
            match presence(json, &[path.segments()]) {
                Presence::There => own.is_there = true,
                Presence::Hidden => {}
                Presence::Lacking => {
                    if own.near.is_none() && own.lacking < LOOKED_AT {
                        let is_other = |near: &String| paths(plan, part).all(|(_, path)| path.to_string() != *near);
                        own.near = near(path, json).filter(is_other);
                    }
                    own.lacking += 1;
                    // More of them say no more, and a report that stays the same is not written.
                    own.most = own.most.max(own.lacking).min(MANY);
                }
            }
        }
    }

    /// What they show, for a report.
    pub fn found(&self, plan: &ResourcePlan, part: Part) -> FieldEvidence {
        let own = paths(plan, part).zip(&self.own).map(|((purpose, path), own)| Evidence {
            purpose,
            path: path.to_string(),
            is_there: own.is_there,
            lacking: own.most,
            near: own.near.clone(),
        });
        FieldEvidence(own.collect())
    }
}

/// What records have shown of the paths of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEvidence(Vec<Evidence>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Evidence {
    purpose: Purpose,
    path: String,
    /// A record had it.
    is_there: bool,
    /// The most records of one poll that lack it.
    lacking: u64,
    /// A path that a record has and that it most likely stands for.
    near: Option<String>,
}

impl FieldEvidence {
    /// Nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With what other records of the same resource show. What only the former ones have is of another plan, unless `keeps_all`.
    #[must_use]
    pub fn and(mut self, earlier: Self, keeps_all: bool) -> Self {
        for old in earlier.0 {
            match self.0.iter_mut().find(|own| own.purpose == old.purpose && own.path == old.path) {
                Some(own) => {
                    own.is_there |= old.is_there;
                    own.lacking = own.lacking.max(old.lacking);
                    own.near = old.near.or(own.near.take());
                }
                None if keeps_all => self.0.push(old),
                None => {}
            }
        }
        self
    }

    /// The paths that are most likely wrong.
    pub fn absent(&self) -> Option<AbsentFields<'_>> {
        let absent: Vec<_> = self.0.iter().filter(|own| own.is_absent()).collect();
        (!absent.is_empty()).then_some(AbsentFields(absent))
    }
}

impl Evidence {
    fn is_absent(&self) -> bool {
        let enough = match &self.near {
            Some(near) if plain(near) == plain(&self.path) => 1,
            Some(_) => SOME,
            // Optional members are often listed there, and no harm is done.
            None if self.purpose == Purpose::Ignore => u64::MAX,
            None => MANY,
        };
        !self.is_there && self.lacking >= enough
    }
}

/// Paths that no record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentFields<'a>(Vec<&'a Evidence>);

impl AbsentFields<'_> {
    /// Whether members that must not leave most likely do, since the records have one of a similar name.
    pub fn exposes(&self) -> bool {
        self.0.iter().any(|absent| absent.purpose.protects() && absent.near.is_some())
    }
}

/// What a user reads of them: field, cause and fix.
impl fmt::Display for AbsentFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Evidence { purpose, path, near, .. }) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: no record has {path}, so {}; ", purpose.field(), purpose.consequence())?;
            match near {
                Some(near) => write!(f, "did you mean {near}?")?,
                None => f.write_str("correct the path, or remove it")?,
            }
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Whether a record has something at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Presence {
    /// It has other members.
    Lacking,
    /// Where the path leads through there is nothing, so it cannot be said.
    Hidden,
    /// It has a value there, or null.
    There,
}

/// Given what is left of one path, or none where it does not lead here.
fn presence(json: &str, rests: &[&[Segment]]) -> Presence {
    let json = json.trim();
    if rests.iter().any(|rest| rest.is_empty()) {
        return Presence::There;
    }
    let (mut found, mut any) = (Presence::Lacking, false);
    match json.as_bytes().first() {
        Some(b'{') => for_each_member(json, |key, value| {
            any = true;
            let below = below_key(rests, key);
            if !below.is_empty() {
                found = found.max(presence(value, &below));
            }
        }),
        Some(b'[') => {
            let mut index = 0;
            for_each_element(json, |value| {
                any = true;
                let below = below_element(rests, index);
                if !below.is_empty() {
                    found = found.max(presence(value, &below));
                }
                index += 1;
            });
            // A list that is too short says nothing of an element.
            let is_short = |rest: &&[Segment]| matches!(rest.first(), Some(Segment::Index(at)) if *at >= index);
            any = any && !(found == Presence::Lacking && rests.iter().any(is_short));
        }
        Some(_) => any = json != "null",
        None => {}
    }
    if any { found } else { Presence::Hidden }
}

/// The path in a record that `path` most likely stands for: one name is spelt otherwise, or an object around it is left out.
fn near(path: &FieldPath, json: &str) -> Option<String> {
    let mut at = first_element(json.trim());
    let mut told: Vec<Segment> = Vec::new();
    let mut rest = path.segments();
    while let Some((step, below)) = rest.split_first() {
        rest = below;
        let Segment::Key(key) = step else { continue };
        if let Some(value) = member(at, key) {
            told.push(step.clone());
            at = first_element(value);
            continue;
        }
        let mut members = Vec::new();
        for_each_member(at, |name, value| members.push((name.to_owned(), first_element(value))));
        let leads_on = |value: &str| rest.is_empty() || presence(value, &[rest]) != Presence::Lacking;
        if let Some(name) =
            nearest_name(key, members.iter().filter(|(_, value)| leads_on(value)).map(|(name, _)| name.as_str()))
        {
            told.push(Segment::Key(name.to_owned()));
            told.extend(rest.iter().cloned());
            return Some(FieldPath::of(&told).to_string());
        }
        let (around, _) = members.iter().find(|(_, inner)| member(inner, key).is_some_and(leads_on))?;
        told.extend([Segment::Key(around.clone()), step.clone()]);
        told.extend(rest.iter().cloned());
        return Some(FieldPath::of(&told).to_string());
    }
    None
}

/// A key that meets an array applies to each of its elements.
fn first_element(json: &str) -> &str {
    let mut first = None;
    if json.starts_with('[') {
        for_each_element(json, |value| {
            first.get_or_insert(value);
        });
    }
    first.unwrap_or(json)
}

/// The name that is spelt nearly like `key`. Names that differ in a number alone, as `line1` and `line2`, are those of different members.
fn nearest_name<'a>(key: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let letters = |name: &str| plain(name).replace(|c: char| c.is_ascii_digit(), "");
    let same = names.clone().find(|name| !plain(key).is_empty() && plain(name) == plain(key));
    same.or_else(|| crate::api::nearest::nearest(key, names.filter(|name| letters(name) != letters(key))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ExtractPlan;
    use crate::plan::sample;
    use crate::plan::shaping::{Mask, Masked, Shape};
    use std::sync::Arc;

    fn evidence(purpose: Purpose, path_texts: &[&str], records: &[&str]) -> FieldEvidence {
        let mut plan = sample::resource();
        let paths: Vec<_> = path_texts.iter().map(|text| FieldPath::parse(text).unwrap()).collect();
        let mut extract = ExtractPlan::clone(&plan.extract);
        let mut part = Part::Delivered;
        match purpose {
            Purpose::Mask => {
                let masked = paths.into_iter().map(|path| Masked { path, mask: Mask::Text }).collect();
                extract.shape = Shape { members: Members::All, masked };
            }
            Purpose::Drop => extract.shape.members = Members::Drop(paths),
            Purpose::Keep => extract.shape.members = Members::Keep(paths),
            _ => (extract.ignored, part) = (paths, Part::Row),
        }
        plan.extract = Arc::new(extract);
        let mut sightings = Sightings::default();
        for json in records {
            sightings.note(&plan, part, json);
        }
        sightings.found(&plan, part)
    }

    fn told(purpose: Purpose, path: &str, record: &str, records: usize) -> Option<String> {
        evidence(purpose, &[path], &vec![record; records]).absent().map(|absent| absent.to_string())
    }

    const RECORD: &str =
        r#"{"id":1,"email":"a@b","contacts":[{"phone":"1"}],"line1":"x","owner":{"mail":"c","tags":[]},"boss":null}"#;

    #[test]
    fn a_path_that_is_spelt_otherwise_is_named_with_the_right_one() {
        for (path, near, records) in [
            ("e_mail", "email", 1),
            ("Email", "email", 1),
            ("emial", "email", 5),
            ("contact.phone", "contacts.phone", 5),
            ("contacts.phones", "contacts.phone", 5),
            ("contacts[0].phones", "contacts.phone", 5),
            ("mail", "email", 5),
            ("phone", "contacts.phone", 5),
            ("owner.e_mail", "owner.mail", 5),
        ] {
            let said = told(Purpose::Mask, path, RECORD, records);
            assert_eq!(
                said,
                Some(format!("maskFields: no record has {path}, so nothing is masked there; did you mean {near}?")),
                "{path}"
            );
            assert_eq!(told(Purpose::Mask, path, RECORD, records - 1), None, "{path}: too few");
        }
        for (purpose, field) in
            [(Purpose::Drop, "dropFields"), (Purpose::Keep, "keepFields"), (Purpose::Ignore, "ignoreFields")]
        {
            assert!(told(purpose, "emial", RECORD, 5).unwrap().starts_with(field));
        }
    }

    #[test]
    fn optional_members_are_missed_only_where_many_records_lack_them() {
        for path in ["fax", "line2", "contacts.fax", "owner.fax"] {
            assert_eq!(told(Purpose::Mask, path, RECORD, 19), None, "{path}");
            assert!(told(Purpose::Mask, path, RECORD, 20).unwrap().ends_with("correct the path, or remove it"), "{path}");
            assert_eq!(told(Purpose::Ignore, path, RECORD, 20), None, "{path}: harmless");
        }
        for path in ["email", "contacts.phone", "contacts[0].phone", "contacts[7].fax", "boss", "boss.mail", "owner.tags.name"]
        {
            assert_eq!(told(Purpose::Mask, path, RECORD, 40), None, "{path} is there, or may be");
        }
        let some = evidence(Purpose::Mask, &["fax"], &[vec![RECORD; 40], vec![r#"{"fax":null}"#]].concat());
        assert_eq!(some.absent(), None, "one record has it");
        let both = evidence(Purpose::Mask, &["email", "Email"], &[RECORD; 5]);
        assert_eq!(both.absent(), None, "both spellings are listed");
    }

    #[test]
    fn what_earlier_polls_showed_counts_until_a_record_has_the_field() {
        let absent = evidence(Purpose::Mask, &["fax", "e_mail"], &[RECORD; 20]);
        assert!(absent.absent().unwrap().exposes());
        let few = evidence(Purpose::Mask, &["fax", "e_mail"], &[r#"{"id":2}"#]).and(absent.clone(), false);
        assert_eq!(few.absent(), absent.absent(), "a short list says no more");
        let there = evidence(Purpose::Mask, &["fax", "e_mail"], &[r#"{"fax":1,"e_mail":2}"#]).and(absent.clone(), false);
        assert_eq!(there.absent(), None);
        let other = evidence(Purpose::Mask, &["email"], &[RECORD]).and(absent.clone(), false);
        assert_eq!(other.absent(), None, "the manifest was corrected");
        assert!(!evidence(Purpose::Mask, &["fax"], &[RECORD; 20]).absent().unwrap().exposes(), "it may be optional");
        let several = evidence(Purpose::Drop, &["a1", "b1", "c1", "d1"], &[RECORD; 20]);
        assert!(several.absent().unwrap().to_string().ends_with("; and 1 more"));
    }
}
