//! The engine on a cluster: who owns which instances ([`shards`]).

pub mod shards;
