//! Providers that list changes of the last weeks and answer an error to whoever asks for older ones, and those that answer 304 where
//! there are none.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::rig::PATIENCE;
use crate::rig::http::{Answer, Ask, Server};
use crate::rig::manifest::Instance;
use crate::rig::pollinator::Site;
use crate::rig::receiver::{Post, Receiver};

type Shared<T> = Arc<Mutex<T>>;

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn dated(answer: Answer) -> Answer {
    answer.header("Date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn list(rows: &[(String, DateTime<Utc>)], since: DateTime<Utc>) -> Answer {
    let rows = rows.iter().filter(|(_, at)| *at >= since);
    let rows: Vec<_> = rows.map(|(id, at)| format!(r#"{{"id":"{id}","at":"{}"}}"#, text(*at))).collect();
    dated(Answer::json(format!("[{}]", rows.join(","))))
}

#[test]
fn a_list_that_was_quiet_for_longer_than_the_provider_looks_back_is_polled_on() {
    let reach = TimeDelta::days(31);
    let rows: Shared<Vec<_>> = Arc::new(Mutex::new(vec![("old".to_owned(), Utc::now() - TimeDelta::days(20))]));
    let asked: Shared<Vec<DateTime<Utc>>> = Arc::default();
    let refused: Shared<usize> = Arc::default();
    let (all, seen, too_old) = (Arc::clone(&rows), Arc::clone(&asked), Arc::clone(&refused));
    let server = Server::start(move |ask: &Ask| {
        let since = ask.query().into_iter().find(|(name, _)| name == "since").expect("a bound").1;
        let since = DateTime::parse_from_rfc3339(&since).expect("a time").to_utc();
        seen.lock().unwrap().push(since);
        if since < Utc::now() - reach {
            *too_old.lock().unwrap() += 1;
            return dated(Answer::json(r#"{"error":"updatedMinTooLongAgo"}"#).with_status(410));
        }
        list(&all.lock().unwrap(), since)
    });
    let receiver = Receiver::start();
    let members = "url: /changes\nquery: {since: \"${since}\"}\nmaxAge: 740h\n\
                   datesConfiguration: {updatedDateField: at, createdDateField: at}";
    let instance = Instance::new("it", &server.url(), &receiver.url("it")).earliest().resource(members);
    let site = Site::new(&[instance.yaml()]);
    let mut pollinator = site.start();
    // what is listed at all is delivered, and the cursor does not wait at the last change
    assert!(receiver.try_wait_count("it", PATIENCE, 1).is_some(), "{}", pollinator.report("it"));
    let young =
        |cursor: &str| DateTime::parse_from_rfc3339(cursor).is_ok_and(|cursor| cursor > Utc::now() - TimeDelta::hours(1));
    pollinator.wait_for("it", "a cursor that moves", |row| row.resources[0].cursor.as_deref().is_some_and(young));
    pollinator.sigterm();

    // nobody polled for two months
    let before = text(Utc::now() - TimeDelta::days(60));
    site.edit_state("\"cursor\":\"[^\"]+\"", &format!("\"cursor\":\"{before}\""));
    rows.lock().unwrap().push(("missed".to_owned(), Utc::now() - TimeDelta::days(40)));
    rows.lock().unwrap().push(("late".to_owned(), Utc::now() - TimeDelta::days(10)));
    let pollinator = site.start();
    let said = pollinator.wait_reason("it", "CursorOutOfReach");
    assert!(said.starts_with("maxAge: "), "{said}");
    pollinator.wait_for("it", "polls go on", |row| row.ready == "True" && !row.tells("CursorOutOfReach"));
    rows.lock().unwrap().push(("new".to_owned(), Utc::now()));
    let is_new = |posts: &[&Post]| posts.iter().any(|post| post.event().object == "new").then_some(());
    assert!(receiver.try_wait("it", PATIENCE, is_new).is_some(), "{}", pollinator.report("it"));
    // a cursor that is set back no longer knows what it had sent, so that `old` may come again
    let came: BTreeSet<_> = receiver.delivered("it").into_iter().map(|event| event.object).collect();
    assert_eq!(came, ["late", "new", "old"].map(str::to_owned).into());
    let oldest = asked.lock().unwrap().iter().min().copied().expect("it was asked");
    assert_eq!((*refused.lock().unwrap(), oldest > Utc::now() - reach), (0, true), "asked from {oldest}");
}

/// As Zoho CRM does: a header with the date is the filter, and where nothing is newer there is nothing to list.
#[test]
fn where_304_says_that_nothing_is_newer_the_first_changes_are_no_part_of_the_baseline() {
    let rows: Shared<Vec<_>> = Arc::new(Mutex::new(vec![("old".to_owned(), Utc::now() - TimeDelta::days(3))]));
    let unchanged: Shared<usize> = Arc::default();
    let (all, answered) = (Arc::clone(&rows), Arc::clone(&unchanged));
    let server = Server::start(move |ask: &Ask| {
        let since = ask.header("If-Modified-Since").expect("the filter");
        let since = DateTime::parse_from_rfc3339(since).expect("a time").to_utc();
        let rows = all.lock().unwrap();
        if rows.iter().any(|(_, at)| *at >= since) {
            return list(&rows, since);
        }
        *answered.lock().unwrap() += 1;
        dated(Answer::status(304))
    });
    let receiver = Receiver::start();
    let members = "url: /contacts\nheaders: {If-Modified-Since: \"${since}\"}\n\
                   datesConfiguration: {updatedDateField: at, createdDateField: at}";
    let instance = Instance::new("it", &server.url(), &receiver.url("it")).resource(members);
    let site = Site::new(&[instance.yaml()]);
    let pollinator = site.start();
    pollinator.wait_ready("it");
    assert!(*unchanged.lock().unwrap() > 0, "nothing was new");
    rows.lock().unwrap().push(("new".to_owned(), Utc::now()));
    assert!(receiver.try_wait_count("it", PATIENCE, 1).is_some(), "{}", pollinator.report("it"));
    assert_eq!(receiver.delivered("it")[0].object, "new");
}
