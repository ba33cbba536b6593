//! The integration tests: the `pollinator` binary as a child process between doubles, or real servers, and a receiver.
//!
//! Where a test goes:
//!
//! - [`at_scale`]: a thousand instances, and what they cost the API server; fewer, with replicas that come and go and servers that fail.
//! - [`real_servers`]: a server that this project did not write stands in for the provider.
//! - [`kill`]: the process dies at a bad moment; the oracle counts what was lost and what came twice.
//! - [`backup`]: the state of an instance goes into a file and to another place.
//! - [`full_sweeps`]: records that change without a later date; complete readings find them by their content.
//! - [`fuzzed`]: the targets of the fuzzer, with their corpus and seeded mutations of it.
//! - [`passers`]: passers-by at the address of metrics and probes hold connections; the probe is answered, and memory is bounded.
//! - [`crowded`]: others in the process take all they can get; an instance that answers is polled on time, and memory is bounded.
//! - [`heavy`]: lists that cost much CPU time; polls of others and probes are not delayed.
//! - [`besieged`]: attackers of another namespace take nothing from honest instances.
//! - [`soak`]: the whole zoo of hostile peers beside honest instances, for a while.
//! - [`shaped`]: a filter and a shape decide what is delivered, and rules what an answer means.
//! - [`event_data`]: events say more than the row of the list: which fields changed, and the whole record.
//! - [`hostile`]: the provider misbehaves; each fault ends with its condition and harms no neighbour.
//! - [`odd_answers`]: rows, lists and answers in odd forms; what can be read is delivered, and what cannot is reported with its fix.
//! - [`listings`]: the data are awkward (late rows, ties, shifting pages) but the provider is honest; nothing is lost.
//! - [`past_failures`]: what other programs lost, by the reports of it, happens to this one.
//! - [`unseen`]: the provider hides, misdates or replaces records; what is not announced is said by a condition.
//! - [`result_caps`]: searches that list no more than a number of records; they are read in parts.
//! - [`deletes`]: records leave the list, or seem to; each real deletion is told once, and no other.
//! - [`compound_ids`]: several records have the same id, and other members distinguish them.
//! - [`deleted_ids`]: lists of deleted ids; each deletion is told once and in its place.
//! - [`deltas`]: lists that continue by token, and what happens when the provider forgets it.
//! - [`tenants`]: one list for each of several tenants, each with a cursor of its own.
//! - [`short_runs`]: polls from a timer; what does not fit into one of them gets its turn in a later one.
//! - [`tenant_sweeps`]: the same, with whole records before events, and complete readings of each list.
//! - [`feed_forms`]: the same as six named providers have them.
//! - [`feeds`]: lists of events about objects, and pages by the id of the last record.
//! - [`interrupted`]: a page of a long list fails; it is asked for again, and the list is read to its end.
//! - [`receiver_contract`]: what a receiver gets, judged by official libraries.
//! - [`cases`]: scripts rebuilt from public reports, one for each kind of awkward provider, file or terminal.
//! - [`interleaving`]: random changes, polls, restarts and kills against a provider with random habits.
//! - [`taken_over`]: state that a released version left is read, and nothing is repeated.
//! - [`retries`]: what each answer of a receiver leads to.
//! - [`undone`]: changes that are undone after an answer was lost.
//! - [`credentials`]: OAuth 2.0: every grant, every refusal, and kills between answer, write and use.
//! - [`due`]: when the provider is asked: after a restart, and where it demanded to be left alone.
//! - [`clocks`]: the wall clock is set, and a process sleeps.
//! - [`panicking`]: a job panics; it harms no other.
//! - [`edits`]: manifests change while it runs.
//! - [`files`]: what is read of files, and how they are swapped.
//! - [`pipes`]: nobody reads the output, or it cannot be written.
//! - [`state`]: the state folder is shared, full, damaged.
//! - [`secrets`]: nothing secret in any output. Every test scans what its own processes wrote, too ([`rig::canary`]).
//! - [`ends`]: the provider and the receiver that come with the binary.
//! - [`commands`]: the other commands, as a person calls them.
//! - [`assertions`]: JSON Web Tokens that are signed for a token endpoint.
//! - [`mutual_tls`]: servers that demand a client certificate.
//! - [`connect`]: the page at which people give consent, against a real OAuth 2.0 server, by forms and in a browser.
//! - [`console`]: the pages that show instances and act on them, in a browser and from outside.
//! - [`elements`]: the instances API of Open Connectors, from the page's cURL to events.
//! - [`operator`]: the operator on a real control plane: what it delivers, stores, writes and survives.
//! - [`control_plane`]: what a real kube-apiserver makes of the CRDs, and the harness for tests of the operator.
//! - [`kubelet`]: pods as local processes, and the operator as a Deployment of them.
//! - [`shards`]: several processes share the work on a real kube-apiserver; no instance has two owners, or none for long.
//! - [`chart`]: the chart and the kustomization, as text and installed.
//! - [`described_providers`]: every entry of the catalog against a mock that is made from what the provider published.
//! - [`recordings`]: exchanges with an API are recorded without what is anyone's, and an entry is checked against them.
//! - [`migration`]: what `import` makes of configurations of Open Connectors is planned and run.
//! - [`examples`]: every manifest in `examples/` is judged and planned.
//! - [`release`]: what a release consists of, made step by step, and the workflows that make one.
//! - [`documented`]: every command and manifest of the documentation is done, and what it names exists.
//! - [`pages`]: what the documentation says can be found, and lists are complete.
//! - [`tidy`]: which module may do what, and how long a file may be.
//! - [`words`]: prose contains no retired word.
//!
//! [`rig`] holds what they are built from. Tests wait for what they want to see, with a deadline; none of them sleeps to wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)] // a test that panics has failed, which is what these are for

mod rig;

mod assertions;
mod at_scale;
mod backup;
mod batches;
mod besieged;
mod cases;
mod chart;
mod clocks;
mod commands;
mod compound_ids;
mod connect;
mod console;
mod control_plane;
mod credentials;
mod crowded;
mod deleted_ids;
mod deletes;
mod deltas;
mod described_providers;
mod documented;
mod due;
mod edits;
mod elements;
mod ends;
mod event_data;
mod evidence;
mod examples;
mod feed_forms;
mod feeds;
mod files;
mod full_sweeps;
mod fuzzed;
mod heavy;
mod hollow_pages;
mod hostile;
mod interleaving;
mod interrupted;
mod kill;
mod kubelet;
mod listings;
mod logs;
mod migration;
mod misspelt;
mod mutual_tls;
mod odd_answers;
mod old_changes;
mod operator;
mod pages;
mod panicking;
mod passers;
mod past_failures;
mod pipes;
mod probes;
mod real_servers;
mod receiver_contract;
mod recordings;
mod release;
mod result_caps;
mod retries;
mod secrets;
mod shaped;
mod shards;
mod short_runs;
mod soak;
mod state;
mod taken_over;
mod tenant_sweeps;
mod tenants;
mod tidy;
mod undone;
mod unseen;
mod words;
mod zones;
