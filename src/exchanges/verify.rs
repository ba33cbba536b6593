//! Repeats a recording, and says where it and its entry disagree.

use super::listing::Read;
use super::record::end;
use super::replay::{Script, replay};
use super::{Exchange, Listing, Recording, blank};
use crate::api::connector::ConnectorSpec;

/// What became of one resource: a line for each listing, and the disagreements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was seen.
    pub seen: Vec<String>,
    /// What disagrees; none if all is well.
    pub disagreements: Vec<String>,
}

/// Reads a recording by what the entry says now.
pub async fn verify(key: &str, spec: &ConnectorSpec, recording: &Recording) -> Verdict {
    let mut verdict = Verdict::default();
    if recording.head.connector != key {
        verdict.disagreements.push(format!("it was recorded of {}", recording.head.connector));
    }
    let plan = match blank::plan(key, spec, &recording.head.resource) {
        Ok(plan) => plan,
        Err(why) => {
            verdict.disagreements.push(why);
            return verdict;
        }
    };
    let listings: Vec<Listing> = recording.listings.iter().map(|(listing, _)| listing.clone()).collect();
    let exchanges: Vec<Exchange> = recording.listings.iter().flat_map(|(_, exchanges)| exchanges.clone()).collect();
    let replayed = match replay(&plan, &listings, Script::Strict(exchanges)).await {
        Ok(replayed) => replayed,
        Err(why) => {
            verdict.disagreements.push(why);
            return verdict;
        }
    };
    let id_field = plan.resources.first().map_or("idField", |resource| resource.extract.id.field());
    let disagree = &mut verdict.disagreements;
    disagree.extend(replayed.unknown.iter().map(|asked| format!("the entry asks {asked}, which was not recorded")));
    // After a listing that failed there is more that was not asked.
    let failed = replayed.listings.iter().any(Result::is_err);
    let left = replayed.left.iter().take(if failed { replayed.unknown.len() } else { usize::MAX });
    disagree.extend(left.map(|asked| format!("the entry does not ask {asked}, which was recorded")));
    for (listing, read) in listings.iter().zip(&replayed.listings) {
        let read = match read {
            Ok(read) => read,
            Err(problem) => {
                // That the server does not know a request is said already.
                disagree.extend(replayed.unknown.is_empty().then(|| problem.to_string()));
                continue;
            }
        };
        verdict.seen.push(format!("{}{}", end(&read.seen, read.ended), after(listing)));
        disagree.extend(doubts(read, id_field));
        if (&read.seen, read.ended) != (&listing.seen, listing.ended) {
            disagree.push(format!("recorded were {}", end(&listing.seen, listing.ended)));
        }
    }
    verdict
}

/// What is wrong with the records of a listing, as the plan reads them.
pub fn doubts(read: &Read, id_field: &str) -> Vec<String> {
    let counts = &read.counts;
    let of = |count: u64, what: &str| (count > 0).then(|| format!("{count} of {} records {what}", read.seen.records));
    let ids = of(read.unidentified, &format!("have no id at {id_field}"));
    let dates = of(counts.bad_dates, "have a date that does not match datesConfiguration");
    ids.into_iter().chain(dates).chain(read.absent_date.clone()).collect()
}

fn after(listing: &Listing) -> String {
    match listing.since {
        Some(since) => format!(", since {}", since.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
        None if listing.continues => ", since the listing before".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::api::connector::Evidence;
    use crate::catalog;
    use crate::exchanges::{ENDING, FOLDER};

    fn recordings(key: &str) -> Vec<Recording> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog").join(key).join(FOLDER);
        let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|ending| ending == ENDING));
        files.map(|path| Recording::read(&fs::read_to_string(path).unwrap()).unwrap()).collect()
    }

    /// An entry that says so must have them, and must agree with each of them.
    #[tokio::test]
    async fn every_entry_agrees_with_what_was_recorded_of_it() {
        for key in catalog::names() {
            let spec = catalog::built_in(key).unwrap();
            let recordings = recordings(key);
            for recording in &recordings {
                let verdict = verify(key, spec, recording).await;
                assert_eq!(verdict.disagreements, [""; 0], "{key} {}", recording.head.resource);
            }
            if spec.verified.as_ref().is_some_and(|verified| verified.by == Evidence::Recording) {
                let is_recorded = |name: &str| recordings.iter().any(|recording| recording.head.resource == name);
                let missing = spec.resources.iter().map(|of| &*of.resource.name).filter(|name| !is_recorded(name));
                assert_eq!(missing.collect::<Vec<_>>(), [""; 0], "{key} is verified by recordings that do not exist");
            }
        }
    }
}
