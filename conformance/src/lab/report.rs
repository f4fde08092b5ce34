//! What a lab prints: who is there, every scene with its ladder and figures, a verdict.

use super::daemon::Daemon;
use super::fault::LabFault;
use super::place::{DOMAIN, Peers, Ports, REGIONS, TENANTS};
use super::play::Scene;
use super::world::World;
use crate::media::figures::Figures;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Prints as things happen.
pub struct Report<'o> {
    out: &'o mut dyn Write,
    has_colours: bool,
}

/// Colours of a terminal.
#[derive(Clone, Copy)]
enum Colour {
    Green,
    Red,
    Bold,
}

impl<'o> Report<'o> {
    /// Prints to `out`.
    pub fn new(out: &'o mut dyn Write, has_colours: bool) -> Self {
        Self { out, has_colours }
    }

    pub(super) fn peers(&mut self, peers: &Peers) -> Result<(), LabFault> {
        writeln!(self.out, "{}\n", self.paint(Colour::Bold, "Causeway lab"))?;
        writeln!(self.out, "  carrier    {} udp", peers.carrier)?;
        for (region, at) in REGIONS.iter().zip(peers.proxies) {
            writeln!(self.out, "  Teams      {at} tls, as {region}.{DOMAIN}")?;
        }
        Ok(())
    }

    pub(super) fn daemon(
        &mut self,
        daemon: &Daemon,
        ports: &Ports,
        folder: &Path,
    ) -> Result<(), LabFault> {
        writeln!(
            self.out,
            "  daemon     {} tls, {} udp, process {}",
            ports.tls,
            ports.udp,
            daemon.pid()
        )?;
        writeln!(self.out, "  folder     {}", folder.display())?;
        self.out.flush()?;
        Ok(())
    }

    pub(super) fn hello(&mut self, world: &World) -> Result<(), LabFault> {
        writeln!(
            self.out,
            "  OPTIONS    answered both ways, {} tenants and {} proxies, after {}\n",
            TENANTS.len(),
            world.proxies.len(),
            seconds(world.began.elapsed())
        )?;
        self.out.flush()?;
        Ok(())
    }

    /// Prints all scenes and the verdict.
    pub(super) fn scenes(&mut self, world: &World, scenes: &[Scene]) -> Result<bool, LabFault> {
        let findings = world.findings();
        let mut verdicts = Vec::new();
        for (index, scene) in scenes.iter().enumerate() {
            let found = findings
                .iter()
                .filter(|f| scene.call_ids.contains(&f.call_id));
            let problems: Vec<String> = scene
                .problems
                .iter()
                .cloned()
                .chain(found.map(ToString::to_string))
                .collect();
            verdicts.push(problems.is_empty());
            self.scene(index + 1, scene, &problems)?;
        }
        for (index, (scene, is_good)) in scenes.iter().zip(&verdicts).enumerate() {
            writeln!(
                self.out,
                "{:>2}  {}  {}",
                index + 1,
                self.verdict(*is_good),
                scene.title
            )?;
        }
        writeln!(self.out)?;
        let failed = verdicts.iter().filter(|is_good| !**is_good).count();
        let is_ours = |id: &String| scenes.iter().any(|scene| scene.call_ids.contains(id));
        let rest: Vec<_> = findings.iter().filter(|f| !is_ours(&f.call_id)).collect();
        for finding in &rest {
            writeln!(
                self.out,
                "  {} {finding}",
                self.paint(Colour::Red, "outside of calls:")
            )?;
        }
        let is_good = failed == 0 && rest.is_empty();
        let verdict = match is_good {
            true => self.paint(Colour::Green, "PASS"),
            false => self.paint(Colour::Red, "FAIL"),
        };
        let passed = scenes.len() - failed;
        let time = seconds(world.began.elapsed());
        writeln!(
            self.out,
            "{verdict}: {passed} of {} as they should be, {time}",
            scenes.len()
        )?;
        if !is_good {
            writeln!(
                self.out,
                "\nthe end of the daemon's log:\n{}",
                world.daemon.log_tail()
            )?;
        }
        self.out.flush()?;
        Ok(is_good)
    }

    fn scene(&mut self, number: usize, scene: &Scene, problems: &[String]) -> Result<(), LabFault> {
        let verdict = self.verdict(problems.is_empty());
        let title = self.paint(Colour::Bold, &scene.title);
        writeln!(self.out, "{number:>2}  {title}   {verdict}")?;
        if !scene.happened.is_empty() {
            writeln!(self.out, "    {}", scene.happened)?;
        }
        for problem in problems {
            writeln!(
                self.out,
                "    {} {problem}",
                self.paint(Colour::Red, "problem:")
            )?;
        }
        if let Some(ladder) = &scene.ladder {
            writeln!(self.out)?;
            for line in ladder.lines() {
                writeln!(self.out, "{}", format!("    {line}").trim_end())?;
            }
        }
        if !scene.media.is_empty() {
            writeln!(self.out)?;
            writeln!(
                self.out,
                "    {:10} {:>5} {:>9} {:>5} {:>10} {:>10} {:>10}  {:>5}",
                "heard by", "sent", "received", "lost", "jitter", "delay", "longest", "tone"
            )?;
            for (place, figures) in &scene.media {
                writeln!(self.out, "    {}", row(place, figures))?;
            }
        }
        writeln!(self.out)?;
        Ok(())
    }

    /// Says what can be done with what goes on running.
    pub(super) fn stay(&mut self, world: &World) -> Result<(), LabFault> {
        let program = world.program.display();
        let socket = world.daemon.socket().display();
        let folder = world.folder().display();
        let out = &mut self.out;
        writeln!(
            out,
            "\nThe daemon and its peers go on running. To look at them:\n"
        )?;
        for command in ["status", "call recent", "call show ID --messages", "reload"] {
            writeln!(out, "  {program} {command} --socket {socket}")?;
        }
        writeln!(out, "  curl http://{}/metrics\n", world.ports.metrics)?;
        writeln!(
            out,
            "  console        https://{} (a browser must be told to trust it)",
            world.ports.console
        )?;
        writeln!(out, "  its token      {}", world.token)?;
        writeln!(out, "  configuration  {folder}/causeway.toml")?;
        writeln!(out, "  root of trust  {folder}/ca.pem")?;
        writeln!(out, "  log            {folder}/causeway.log")?;
        writeln!(out, "  call records   {folder}/cdr/\n")?;
        if let Some(exposed) = world.ports.exposed {
            let echo = TENANTS.map(|tenant| tenant.echo()).join(" or ");
            writeln!(
                out,
                "A phone or program may call at {exposed} (UDP, no registration):\n"
            )?;
            writeln!(
                out,
                "  dial {echo}: a user of Teams who sends back what he hears"
            )?;
            writeln!(out, "  or with SIPp, from another machine without -i:")?;
            writeln!(
                out,
                "  sipp -sn uac -i {} -s {} -d 3000 -m 1 {exposed}\n",
                exposed.ip(),
                TENANTS[0].echo()
            )?;
        }
        writeln!(out, "Ctrl-C ends everything.")?;
        out.flush()?;
        Ok(())
    }

    pub(super) fn end(&mut self, status: &str, folder: Option<&Path>) -> Result<(), LabFault> {
        match folder {
            Some(folder) => writeln!(
                self.out,
                "daemon ended ({status}); kept {}",
                folder.display()
            )?,
            None => writeln!(self.out, "daemon ended ({status}); nothing is left behind")?,
        }
        self.out.flush()?;
        Ok(())
    }

    fn verdict(&self, is_good: bool) -> String {
        match is_good {
            true => self.paint(Colour::Green, "pass"),
            false => self.paint(Colour::Red, "FAIL"),
        }
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => 32,
            Colour::Red => 31,
            Colour::Bold => 1,
        };
        match self.has_colours {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

fn row(place: &str, figures: &Figures) -> String {
    format!(
        "{place:10} {:>5} {:>9} {:>5} {:>10} {:>10} {:>10}  {:>5}",
        figures.sent,
        figures.received,
        figures.lost,
        millis(figures.jitter),
        millis(figures.delay),
        millis(figures.longest),
        format!("{:.0} %", figures.tone * 100.0)
    )
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
