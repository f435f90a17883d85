//! Random mixes of operations against a plain model of the keyspace.
