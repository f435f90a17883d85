//! The plugins of a server, and which hooks any of them wants.

use std::any::Any;

use super::{Call, Hooks, Plugin};
use crate::command::error::Outcome;
use crate::config::Settings;

/// The plugins in the order in which they were registered, which is the order in which they are called.
#[derive(Default)]
pub struct Plugins {
    /// With the hooks that each wants.
    list: Vec<(Hooks, Box<dyn Plugin>)>,
    /// All of these.
    wanted: Hooks,
}

impl Plugins {
    /// Lets plugins begin.
    ///
    /// # Errors
    /// The name of the plugin that the server must not start with, and its reason.
    pub fn init(plugins: Vec<Box<dyn Plugin>>, settings: &Settings) -> Result<Plugins, String> {
        let mut ready = Plugins::default();
        for mut plugin in plugins {
            if ready.iter().any(|(_, other)| other.name() == plugin.name()) {
                return Err(format!("Two plugins are called {}", plugin.name()));
            }
            plugin.init(settings).map_err(|reason| format!("Plugin {}: {reason}", plugin.name()))?;
            let hooks = plugin.hooks();
            ready.wanted |= hooks;
            ready.list.push((hooks, plugin));
        }
        Ok(ready)
    }

    /// Which hooks any plugin wants.
    pub fn wanted(&self) -> Hooks {
        self.wanted
    }

    /// Whether any plugin wants one of these hooks.
    #[inline]
    pub fn want(&self, hooks: Hooks) -> bool {
        self.wanted.intersects(hooks)
    }

    /// The plugin of a type: what a command uses that it brought.
    pub fn get<T: Plugin>(&mut self) -> Option<&mut T> {
        self.list.iter_mut().find_map(|(_, plugin)| {
            let plugin: &mut dyn Any = &mut **plugin;
            plugin.downcast_mut()
        })
    }

    /// All plugins and the hooks that each wants.
    pub fn iter(&self) -> impl Iterator<Item = (Hooks, &dyn Plugin)> {
        self.list.iter().map(|(hooks, plugin)| (*hooks, &**plugin))
    }

    /// All plugins, to be called at a point that has no hook.
    pub fn each(&mut self) -> impl Iterator<Item = &mut Box<dyn Plugin>> {
        self.list.iter_mut().map(|(_, plugin)| plugin)
    }

    /// The plugins that want a hook.
    fn hooked(&mut self, hook: Hooks) -> impl Iterator<Item = &mut Box<dyn Plugin>> {
        self.list.iter_mut().filter(move |(hooks, _)| hooks.contains(hook)).map(|(_, plugin)| plugin)
    }

    /// Asks whether a command may run; the first plugin that refuses it decides.
    ///
    /// # Errors
    /// What the client is answered instead.
    pub fn before_command(&mut self, call: &Call<'_>) -> Outcome {
        self.hooked(Hooks::BEFORE_COMMAND).try_for_each(|plugin| plugin.before_command(call))
    }

    /// Tells what became of a command.
    pub fn after_command(&mut self, call: &Call<'_>, outcome: &Outcome) {
        self.hooked(Hooks::AFTER_COMMAND).for_each(|plugin| plugin.after_command(call, outcome));
    }

    /// Tells of a key that was evicted.
    pub fn evicted(&mut self, db: usize, key: &[u8]) {
        self.hooked(Hooks::ON_EVICT).for_each(|plugin| plugin.on_evict(db, key));
    }

    /// Tells of a key that expired.
    pub fn expired(&mut self, db: usize, key: &[u8]) {
        self.hooked(Hooks::ON_EXPIRE).for_each(|plugin| plugin.on_expire(db, key));
    }

    /// Tells of a tag that was invalidated.
    pub fn invalidated(&mut self, db: usize, tag: &[u8], count: usize) {
        self.hooked(Hooks::ON_TAG_INVALIDATE).for_each(|plugin| plugin.on_tag_invalidate(db, tag, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes what it is told.
    #[derive(Default)]
    struct Recorder {
        name: &'static str,
        hooks: Hooks,
        told: Vec<String>,
    }

    impl Plugin for Recorder {
        fn name(&self) -> &'static str {
            self.name
        }

        fn init(&mut self, settings: &Settings) -> Result<(), String> {
            if settings.port == 1 { Err("the port".to_string()) } else { Ok(()) }
        }

        fn hooks(&self) -> Hooks {
            self.hooks
        }

        fn on_evict(&mut self, db: usize, key: &[u8]) {
            self.told.push(format!("evicted {db} {}", String::from_utf8_lossy(key)));
        }

        fn on_expire(&mut self, db: usize, key: &[u8]) {
            self.told.push(format!("expired {db} {}", String::from_utf8_lossy(key)));
        }

        fn on_tag_invalidate(&mut self, db: usize, tag: &[u8], count: usize) {
            self.told.push(format!("invalidated {db} {} {count}", String::from_utf8_lossy(tag)));
        }
    }

    /// Wants nothing, and is of another type.
    struct Bystander;

    impl Plugin for Bystander {
        fn name(&self) -> &'static str {
            "bystander"
        }
    }

    fn recorder(name: &'static str, hooks: Hooks) -> Box<dyn Plugin> {
        Box::new(Recorder { name, hooks, ..Recorder::default() })
    }

    #[test]
    fn only_wanted_hooks_are_called() {
        let list = vec![
            Box::new(Bystander) as Box<dyn Plugin>,
            recorder("recorder", Hooks::ON_EVICT | Hooks::ON_TAG_INVALIDATE),
        ];
        let mut plugins = Plugins::init(list, &Settings::default()).expect("nobody refuses");
        assert!(plugins.want(Hooks::ON_EVICT) && !plugins.want(Hooks::ON_EXPIRE | Hooks::BEFORE_COMMAND));
        plugins.evicted(3, b"key");
        plugins.expired(3, b"key");
        plugins.invalidated(3, b"tag", 7);
        assert_eq!(plugins.get::<Recorder>().expect("it is there").told, ["evicted 3 key", "invalidated 3 tag 7"]);
        let names: Vec<_> = plugins.iter().map(|(hooks, plugin)| (plugin.name(), hooks)).collect();
        assert_eq!(names, [("bystander", Hooks::empty()), ("recorder", Hooks::ON_EVICT | Hooks::ON_TAG_INVALIDATE)]);
    }

    #[test]
    fn what_a_server_does_not_start_with() {
        let cases = [(6380, ["a", "a"], "Two plugins are called a"), (1, ["a", "b"], "Plugin a: the port")];
        for (port, names, expected) in cases {
            let list = names.map(|name| recorder(name, Hooks::empty())).into();
            let settings = Settings { port, ..Settings::default() };
            assert_eq!(Plugins::init(list, &settings).err().as_deref(), Some(expected));
        }
        assert!(Plugins::default().get::<Bystander>().is_none());
    }
}
