//! What these tests share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Host, Hub, Liar, Lie, Net, Output, Process, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Something that waits for retries and time-outs of handshakes ends within this.
pub(crate) const LONG: Duration = Duration::from_secs(40);
/// Text that ends what a `listen` waits for.
const END: &str = "that was all";

/// Agents that have all joined through a liar: agent i has vIP 7.10.0.(2 + i).
pub(crate) struct Lied {
    pub(crate) agents: Vec<Agent>,
    pub(crate) liar: Liar,
    _hub: Hub,
    net: Arc<Net>,
}

impl Lied {
    /// Begins honestly.
    pub(crate) fn start(num_agents: usize) -> Result<Self> {
        let net = Net::star(num_agents)?;
        let hub = Hub::start(&net, Liar::HUB_ARGS)?;
        let liar = Liar::start(&net.hub)?;
        let agents = (0..num_agents).map(|i| Agent::up(&net, i, &[])).collect::<Result<_>>()?;
        Ok(Self { agents, liar, _hub: hub, net })
    }

    pub(crate) fn pair(&self) -> (&Agent, &Agent) {
        (&self.agents[0], &self.agents[1])
    }

    /// Has each of the first two pin the other, and then starts both again: they know each other's
    /// keys and have no session.
    pub(crate) fn pin_and_restart(&mut self) -> Result<()> {
        let (a, b) = self.pair();
        say(a.host(), &b.vip, "hello")?;
        say(b.host(), &a.vip, "hello")?;
        let agents: Vec<Agent> = self.agents.drain(..2).collect();
        for (i, agent) in agents.into_iter().enumerate() {
            let again = restart(&self.net, i, agent, &[])?;
            self.agents.insert(i, again);
        }
        Ok(())
    }

    /// What of `texts`, sent from the first agent to the second while the hub lies, was delivered.
    pub(crate) fn delivered(&self, lie: Lie, texts: &[&str]) -> Result<Vec<String>> {
        let (a, b) = self.pair();
        let heard = listen(b.host())?;
        self.liar.tell(lie);
        for text in texts {
            // Whether it arrives is what is asked here.
            let sent = a.host().agent(&["send", &b.vip, text])?;
            ensure!(!sent.stderr.contains("UNAUTHENTICATED"), "{sent}");
        }
        ensure!(self.liar.num_lies() > 0, "the hub had nothing to lie about");
        self.liar.tell(Lie::None);
        say_until_sent(a.host(), &b.vip, END)?;
        heard_until_end(&heard)
    }
}

/// Ends an agent and starts another one with its state, at the same vIP.
pub(crate) fn restart(net: &Arc<Net>, host: usize, agent: Agent, args: &[&str]) -> Result<Agent> {
    let vip = agent.vip.clone();
    agent.stop(Signal::SIGTERM)?;
    Agent::up(net, host, &[&["--vip", &vip], args].concat())
}

pub(crate) fn say(from: &Host, to: &str, text: &str) -> Result<Output> {
    from.agent(&["send", to, text])?.ok()
}

/// Sends as soon as there can be a tunnel again.
pub(crate) fn say_until_sent(from: &Host, to: &str, text: &str) -> Result<()> {
    wait_until("a message can be sent", LONG, || {
        Ok(from.agent(&["send", to, text])?.code == Some(0))
    })
}

/// A `listen --json` that hears everything from now on.
pub(crate) fn listen(host: &Host) -> Result<Process> {
    let listen = host.spawn_agent(&["listen", "--json"])?.shown_on_drop();
    wait_until("listen listens", Duration::from_secs(10), || {
        Ok(listen.stderr()?.contains("listening"))
    })?;
    Ok(listen)
}

/// The texts that it hears up to the one that ends it.
pub(crate) fn heard_until_end(listen: &Process) -> Result<Vec<String>> {
    wait_until("the last message is heard", LONG, || {
        Ok(texts(listen)?.iter().any(|text| text == END))
    })?;
    let mut texts = texts(listen)?;
    texts.retain(|text| text != END);
    Ok(texts)
}

pub(crate) fn texts(listen: &Process) -> Result<Vec<String>> {
    let messages = messages(listen)?;
    Ok(messages.iter().map(|it| it["text"].as_str().unwrap_or_default().to_owned()).collect())
}

/// What it printed so far, as far as lines are whole.
pub(crate) fn messages(listen: &Process) -> Result<Vec<Value>> {
    let printed = listen.stdout()?;
    let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(parse).collect()
}

pub(crate) fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text.trim()).with_context(|| text.to_owned())
}

/// What `status` says that the host's own fingerprint is.
pub(crate) fn fingerprint(host: &Host) -> Result<String> {
    let status = host.status()?;
    Ok(status["fingerprint"].as_str().context("a fingerprint")?.to_owned())
}
