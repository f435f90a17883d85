//! How a program gets a server of its own: settings, plugins, and off it goes.
//!
//! ```text
//! let mut reactor = Server::builder(loaded).plugin(MyPlugin::default()).build()?;
//! reactor.run()?;
//! ```
//!
//! The thread that builds the server is the one that runs it.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::{Reactor, StartError};
use crate::command::state::Server;
use crate::command::table;
use crate::config::Loaded;
use crate::plugin::{Plugin, Plugins};

/// A server that is being put together.
pub struct Builder {
    loaded: Loaded,
    seed: u64,
    plugins: Vec<Box<dyn Plugin>>,
}

impl Server {
    /// Begins to build a server with the settings that [`crate::config::Settings::load`] has found.
    pub fn builder(loaded: Loaded) -> Builder {
        // The standard library's hasher is keyed by the operating system's random numbers.
        let seed = RandomState::new().build_hasher().finish();
        Builder { loaded, seed, plugins: Vec::new() }
    }
}

impl Builder {
    /// Lets a number decide everything random.
    pub fn seed(self, seed: u64) -> Builder {
        Builder { seed, ..self }
    }

    /// Adds a plugin. Plugins are called in the order in which they were added.
    pub fn plugin(mut self, plugin: impl Plugin) -> Builder {
        self.plugins.push(Box::new(plugin));
        self
    }

    /// A server that listens and is ready to run.
    ///
    /// # Errors
    /// If an address is not to be had, the settings name none and no Unix socket, a plugin refuses to begin or brings commands that cannot be had, or the kernel
    /// refuses something.
    pub fn build(self) -> Result<Reactor, StartError> {
        let commands = self.plugins.iter().map(|plugin| plugin.commands()).filter(|commands| !commands.is_empty());
        table::bring(commands.collect()).map_err(StartError::Plugin)?;
        let plugins = Plugins::init(self.plugins, &self.loaded.settings).map_err(StartError::Plugin)?;
        Reactor::new(self.loaded, self.seed, plugins)
    }
}
