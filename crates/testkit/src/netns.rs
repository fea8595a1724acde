//! Network namespaces: a network of its own that this host reaches by one link, where root and `ip` exist.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::programs::{IP, NFT};

/// The address a namespace has on its loopback interface alone: no route of this host leads there.
pub const HIDDEN_ADDR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Links are numbered below 10.128.0.0/9, four addresses each.
const FIRST_LINK: u32 = 0x0a80_0000;

/// Link numbers of one process: enough for its tests at any one time.
const LINKS_A_PROCESS: u32 = 64;

/// Processes told apart by the low bits of their id; with the above, what fits into a /9.
const PROCESSES: u32 = 1 << 15;

/// How long a connection from inside may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A namespace; clones are the same one, and the last to be dropped deletes it.
#[derive(Clone)]
pub struct Netns(Arc<Inner>);

struct Inner {
    name: String,
    host_link: String,
    host_addr: Ipv4Addr,
    inside_addr: Ipv4Addr,
}

impl Netns {
    /// Makes a namespace with loopback up and a link to this host.
    ///
    /// # Errors
    /// When this user may not, or `ip` is missing or fails; the message shows what it said.
    pub fn create() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = process::id();
        let link = (pid % PROCESSES) * LINKS_A_PROCESS + number % LINKS_A_PROCESS;
        let network = FIRST_LINK + link * 4;
        // From here on dropping it takes away whatever has been made.
        let inner = Inner {
            name: format!("tk{pid}n{number}"),
            host_link: format!("tk{pid}h{number}"),
            host_addr: Ipv4Addr::from(network + 1),
            inside_addr: Ipv4Addr::from(network + 2),
        };
        inner.set_up().context("cannot make a network namespace")?;
        Ok(Self(Arc::new(inner)))
    }

    /// This host's address on the link.
    #[must_use]
    pub fn host_addr(&self) -> IpAddr {
        self.0.host_addr.into()
    }

    /// The namespace's address on the link, which this host reaches.
    #[must_use]
    pub fn inside_addr(&self) -> IpAddr {
        self.0.inside_addr.into()
    }

    /// Runs `work` on a thread inside the namespace and waits for it. Sockets it makes and processes it starts stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered or `work` panics.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let path = format!("/run/netns/{}", self.0.name);
        let entered = || -> io::Result<T> {
            let namespace = File::open(&path)?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        let result = thread::scope(|scope| scope.spawn(entered).join());
        result
            .map_err(|_| anyhow::anyhow!("the work inside namespace {} panicked", self.0.name))?
            .with_context(|| format!("cannot enter the namespace {path}"))
    }

    /// Connects from inside the namespace.
    ///
    /// # Errors
    /// When the connection is refused or takes too long.
    pub fn connect(&self, to: SocketAddr) -> anyhow::Result<TcpStream> {
        let connected = self.enter(|| TcpStream::connect_timeout(&to, CONNECT_LIMIT))?;
        connected.with_context(|| format!("cannot connect to {to} from inside a namespace"))
    }

    /// Sends what has no other route to this neighbour.
    ///
    /// # Errors
    /// When `ip` fails; the message shows what it said.
    pub fn route_through(&self, neighbour: IpAddr) -> anyhow::Result<()> {
        let name = &self.0.name;
        ip(&format!("-n {name} route add default via {neighbour}"))?;
        Ok(())
    }

    /// Makes it forward packets, changed by these rules of nft.
    ///
    /// # Errors
    /// When this user may not, or `nft` is missing or fails; the message shows what it said.
    pub fn translate(&self, rules: &str) -> anyhow::Result<()> {
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            self.set(setting, "1")?;
        }
        self.filter(rules)
    }

    /// Gives a setting below `/proc/sys/net` another value, in this namespace alone.
    ///
    /// # Errors
    /// When this user may not, or the kernel refuses the value.
    pub fn set(&self, setting: &str, value: &str) -> anyhow::Result<()> {
        let path = format!("/proc/sys/net/{setting}");
        let written = self.enter(|| std::fs::write(&path, value))?;
        written.with_context(|| format!("cannot write {value:?} to {path}"))
    }

    /// Gives every connection on the IPv4 routes of now this congestion control. A namespace may not choose as its default
    /// what its host does not allow every user, but a route may.
    ///
    /// # Errors
    /// When this user may not, the kernel does not have it, or `ip` is missing or fails; the message shows what it said.
    pub fn choose_congestion_control(&self, algorithm: &str) -> anyhow::Result<()> {
        let name = &self.0.name;
        for table in ["local", "main"] {
            let routes = ip(&format!("-4 -n {name} route show table {table}"))?;
            for route in routes.lines().map(str::trim).filter(|it| carries_tcp(it)) {
                // A choice made earlier comes last in the list.
                let route = route.split(" congctl ").next().unwrap_or(route);
                let chosen = format!("table {table} congctl {algorithm}");
                ip(&format!("-n {name} route replace {route} {chosen}"))
                    .with_context(|| format!("cannot choose {algorithm} as congestion control"))?;
            }
        }
        Ok(())
    }

    /// What a connection to the namespace's own loopback address takes as its congestion control.
    ///
    /// # Errors
    /// When no connection can be made.
    pub fn congestion_control(&self) -> anyhow::Result<String> {
        let asked = self.enter(|| -> io::Result<Vec<u8>> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let stream = TcpStream::connect(listener.local_addr()?)?;
            socket2::SockRef::from(&stream).tcp_congestion()
        });
        let name = asked?.context("cannot ask a connection for its congestion control")?;
        let name = String::from_utf8_lossy(&name);
        Ok(name.trim_end_matches('\0').to_owned())
    }

    /// Filters its packets by these rules of nft.
    ///
    /// # Errors
    /// When this user may not, or `nft` is missing or fails; the message shows what it said.
    pub fn filter(&self, rules: &str) -> anyhow::Result<()> {
        let mut command = Command::new(NFT.find()?);
        command.arg(rules);
        finished(self.enter(|| command.output())?, "nft", rules)?;
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// From now on all that the namespace sends to this host is lost, but for what is meant for this port.
    ///
    /// # Errors
    /// When `ip` fails; the message shows what it said.
    pub fn answer_only(&self, port: u16) -> anyhow::Result<()> {
        let (name, to) = (&self.0.name, self.0.host_addr);
        for rule in [
            format!("pref 1 to {to} ipproto tcp dport {port} lookup main"),
            format!("pref 2 to {to} blackhole"),
        ] {
            ip(&format!("-n {name} rule add {rule}"))?;
        }
        Ok(())
    }
}

/// Whether namespaces can be made here.
///
/// # Errors
/// The reason why not, for the line that says a test is skipped.
pub fn available() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    let tried = TRIED.get_or_init(|| match Netns::create() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "{error:#}; run as root where namespaces are allowed"
        )),
    });
    tried.clone()
}

impl Inner {
    fn set_up(&self) -> anyhow::Result<()> {
        let Self {
            name,
            host_link,
            host_addr,
            inside_addr,
        } = self;
        for arguments in [
            format!("netns add {name}"),
            format!("link add {host_link} type veth peer name eth0 netns {name}"),
            format!("addr add {host_addr}/30 dev {host_link}"),
            format!("link set {host_link} up"),
            format!("-n {name} addr add {inside_addr}/30 dev eth0"),
            format!("-n {name} addr add {HIDDEN_ADDR}/32 dev lo"),
            format!("-n {name} link set lo up"),
            format!("-n {name} link set eth0 up"),
        ] {
            ip(&arguments)?;
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whichever of the two was never made gives an error that says so; there is nobody to tell.
        let _ = ip(&format!("link del {}", self.host_link));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

/// Broadcasts are no connections, and a route without a carrier is listed with words that `ip` does not take.
fn carries_tcp(route: &str) -> bool {
    !route.is_empty() && !route.starts_with("broadcast ") && !route.ends_with(" linkdown")
}

/// Runs `ip`, and returns what it printed.
pub(crate) fn ip(arguments: &str) -> anyhow::Result<String> {
    let output = Command::new(IP.find()?).args(arguments.split(' ')).output();
    finished(output, "ip", arguments)
}

/// The output of a program that has ended, which must have succeeded.
fn finished(output: io::Result<Output>, program: &str, arguments: &str) -> anyhow::Result<String> {
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{program} {arguments}: {}",
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use super::*;

    /// Enough for a packet that is dropped silently to show.
    const NO_ROUTE: Duration = Duration::from_millis(300);

    fn listen(netns: &Netns, ip: IpAddr) -> TcpListener {
        let listener = netns.enter(|| TcpListener::bind((ip, 0)));
        listener.unwrap().unwrap()
    }

    #[test]
    fn the_link_is_the_only_way_in() {
        if available().is_err() {
            return;
        }
        let netns = Netns::create().unwrap();
        let linked = listen(&netns, netns.inside_addr());
        let mut outside = TcpStream::connect(linked.local_addr().unwrap()).unwrap();
        outside.write_all(b"x").unwrap();
        let (mut inside, peer) = linked.accept().unwrap();
        assert_eq!(peer.ip(), netns.host_addr());
        inside.read_exact(&mut [0]).unwrap();

        for ip in [Ipv4Addr::LOCALHOST, HIDDEN_ADDR] {
            let hidden = listen(&netns, ip.into()).local_addr().unwrap();
            assert!(TcpStream::connect_timeout(&hidden, NO_ROUTE).is_err());
        }
    }

    #[test]
    fn inside_its_own_addresses_are_reached() {
        if available().is_err() {
            return;
        }
        let netns = Netns::create().unwrap();
        let hidden = listen(&netns, HIDDEN_ADDR.into());
        let addr: SocketAddr = hidden.local_addr().unwrap();
        netns.enter(|| TcpStream::connect(addr)).unwrap().unwrap();
    }

    #[test]
    fn what_is_not_answered_gets_no_answer() {
        if available().is_err() {
            return;
        }
        let netns = Netns::create().unwrap();
        let inside = listen(&netns, netns.inside_addr());
        let outside = [(); 2].map(|()| TcpListener::bind((netns.host_addr(), 0)).unwrap());
        let [spared, other] = outside.each_ref().map(|it| it.local_addr().unwrap());
        netns.answer_only(spared.port()).unwrap();
        let from_inside = |to| {
            netns
                .enter(|| TcpStream::connect_timeout(&to, NO_ROUTE))
                .unwrap()
        };
        assert!(from_inside(spared).is_ok());
        assert!(from_inside(other).is_err());
        let inside = inside.local_addr().unwrap();
        assert!(TcpStream::connect_timeout(&inside, NO_ROUTE).is_err());
    }

    #[test]
    fn its_connections_take_the_congestion_control_of_its_routes() {
        if available().is_err() {
            return;
        }
        let netns = Netns::create().unwrap();
        for algorithm in ["cubic", "reno"] {
            netns.choose_congestion_control(algorithm).unwrap();
            assert_eq!(netns.congestion_control().unwrap(), algorithm);
        }
        assert!(netns.choose_congestion_control("none-such").is_err());
    }

    #[test]
    fn a_setting_is_its_own() {
        if available().is_err() {
            return;
        }
        let (netns, other) = (Netns::create().unwrap(), Netns::create().unwrap());
        let read = |netns: &Netns| {
            let read = || std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem");
            netns.enter(read).unwrap().unwrap()
        };
        let before = read(&other);
        netns.set("ipv4/tcp_wmem", "4096 16384 1234567").unwrap();
        assert!(read(&netns).trim().ends_with("1234567"));
        assert_eq!(read(&other), before);
    }

    #[test]
    fn nothing_is_left_behind() {
        if available().is_err() {
            return;
        }
        let netns = Netns::create().unwrap();
        let name = format!("/run/netns/{}", netns.0.name);
        assert!(Path::new(&name).exists());
        drop(netns);
        assert!(!Path::new(&name).exists());
    }
}
