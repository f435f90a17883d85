//! What clients take all together, and may take: `maxmemory-clients`. Replicas and the link to the master take no part in that.

use super::client::describe;
use super::room::Pressure;
use super::state::Server;
use crate::net::client::Class;
use crate::net::{Client, Closing};

impl Server {
    /// Bytes of memory that a client takes: its own, and what it subscribes to, watches or waits for.
    pub fn client_bytes(&self, token: usize) -> usize {
        let effects = &self.keys.effects;
        let client = &self.clients[token];
        client.memory_bytes()
            + client.tracking.as_ref().map_or(0, |tracking| tracking.memory_bytes())
            + self.subscriptions.memory_bytes(token)
            + effects.watches.bytes(token)
            + effects.waiting.bytes(token)
    }

    /// Whether it matters what all clients take.
    #[inline]
    pub fn counts_clients(&self) -> bool {
        self.budget.is_on() || self.pressure > Pressure::None
    }

    /// Counts a client whose memory may have changed, where that matters.
    #[inline]
    pub fn count_client(&mut self, token: usize) {
        if self.counts_clients() {
            self.note_client(token);
        }
    }

    /// Counts a client.
    pub fn note_client(&mut self, token: usize) {
        let bytes = self.client_bytes(token);
        let client = &mut self.clients[token];
        self.clients_bytes = self.clients_bytes - client.counted_bytes + bytes;
        client.counted_bytes = bytes;
        if !self.budget.is_on() || client.closing == Some(Closing::Now) {
            return;
        }
        if client.link.is_some() || client.class() == Class::Replica {
            // It may have been counted before it became one.
            self.budget.forget(token);
        } else {
            let evictable = !client.no_evict;
            self.budget.count(token, bytes, evictable);
        }
    }

    /// Takes a client out of all clients and their sum.
    pub fn remove_client(&mut self, token: usize) -> Box<Client> {
        let mut client = self.clients.remove(token);
        self.clients_bytes -= std::mem::take(&mut client.counted_bytes);
        client
    }

    /// While all clients together take too much, ends the connection of the one that takes most.
    pub fn end_large_clients(&mut self) {
        while let Some(token) = self.budget.too_large() {
            log::info!("Evicting client: {}", describe(self, token));
            self.stats.evicted_clients += 1;
            // Which takes it out of the books.
            self.close(token, Closing::Now);
            // At once: keys are not to go for what nobody needs any more.
            let client = &mut self.clients[token];
            (client.output, client.input, client.replay) = Default::default();
        }
    }

    /// Sets what all clients together may take, in bytes; 0 for no limit.
    pub fn limit_clients(&mut self, limit: u64) {
        self.budget.set_limit(limit);
        if self.budget.is_on() {
            let tokens: Vec<usize> = self.clients.iter().map(|(token, _)| token).collect();
            tokens.into_iter().for_each(|token| self.count_client(token));
            self.end_large_clients();
        }
    }
}
