//! A time zone that the manifest gets wrong costs no record, and is told with the one that fits.

use chrono::{TimeDelta, Utc};

use crate::rig::in_process::Polls;
use crate::rig::manifest::Instance;
use crate::rig::provider::Provider;
use crate::rig::provider::stamps::DateHeader;
use crate::rig::receiver::Receiver;

#[test]
fn a_wrong_time_zone_is_told_with_the_one_that_fits() {
    let (behind, ahead) = (("05:00 behind", "-05:00"), ("05:30 ahead of", "+05:30"));
    for (minutes, (side, fits)) in [(-300, behind), (330, ahead)] {
        let provider = Provider::start()
            .clock_at(Utc::now() - TimeDelta::days(1))
            .date_header(DateHeader::Skewed(TimeDelta::zero()))
            .wall_clock(TimeDelta::minutes(minutes));
        let receiver = Receiver::start();
        let instance = Instance::new("it", &provider.url(), &receiver.url("it")).basic_auth().resource(&provider.resource());
        let polls = Polls::new(&[instance.yaml()]);
        let poll_after_creating = |id: &str| {
            provider.pass(TimeDelta::seconds(5));
            provider.create(id);
            polls.poll()
        };
        provider.create("old");
        assert_eq!(polls.poll().told("SuspectedTimeZone"), None);
        assert_eq!(poll_after_creating("1").told("SuspectedTimeZone"), None, "one record may be late");
        let row = poll_after_creating("2");
        let told = row.told("SuspectedTimeZone").expect("the second one in a row tells");
        let right = format!(
            "datesConfiguration: the dates of new records are {side} the provider's clock; set the time zone in datesConfiguration to {fits}"
        );
        assert_eq!(told, right);
        assert_eq!(row.ready, "True", "nothing is lost");
        let delivered: Vec<_> = receiver.delivered("it").into_iter().map(|event| event.object).collect();
        assert_eq!(delivered, ["1", "2"]);
    }
}
