//! Systems, and how each tells what it is.
//!
//! The commands and the words of their answers are facts from the vendors' command references; netmiko's `ssh_autodetect` and
//! nmap's service probes agree on those that they know. Each command only reads.

/// A form of prompt, and what may be typed there without harm.
#[derive(Debug)]
pub struct Prompt {
    /// The prompt, as a regular expression, in either case.
    pub form: &'static str,
    /// The command; `None` where none is known.
    pub command: Option<&'static str>,
}

/// A system.
#[derive(Debug)]
pub struct System {
    /// Its name, for people.
    pub name: &'static str,
    /// What the answer to the command has, as a regular expression in either case; empty where no answer tells.
    pub answer: &'static str,
    /// What greeting, banner or prompt have; empty where they tell nothing.
    pub welcome: &'static str,
    /// Its templates, the most likely first.
    pub templates: &'static [&'static str],
}

/// Prompts, the most particular first.
pub(super) const PROMPTS: &[Prompt] = &[
    // A question is answered by nobody here.
    Prompt { form: r"(password|passphrase|passcode|login|username)[^$#>%]*$", command: None },
    Prompt { form: r"^\[[^\]@ ]+@[^\]]+\] >$", command: Some("/system resource print") },
    Prompt { form: r"^<[^<> ]+>$", command: Some("display version") },
    Prompt { form: r"^PS [A-Z]:\\[^>]*>$", command: Some("$PSVersionTable") },
    Prompt { form: r"^([a-z0-9._-]+@[a-z0-9._-]+ )?[A-Z]:\\[^>]*>$", command: Some("ver") },
    // FortiOS writes a space before its sign.
    Prompt { form: r"^[a-z0-9._-]+ (\([a-z0-9._-]+\) )?[#$]$", command: Some("get system status") },
    // Shells: user@host:folder, [user@host folder], a bare sign, or a folder before it.
    Prompt { form: r"^(\([^)]*\) ?)?[^\s@]+@[^\s:]+:[^>]*[$#%]$", command: Some("uname -a") },
    Prompt { form: r"^\[[^\]]+@[^\]]+\][$#%]$", command: Some("uname -a") },
    Prompt { form: r"^([^\s@]+@[^\s]+ )?([~/][^ ]* )?[$#%]$", command: Some("uname -a") },
    Prompt { form: r"^[^\s>]*[$%]$", command: Some("uname -a") },
    // IOS and all that resemble it; Junos and PAN-OS show user@host.
    Prompt { form: r"^[a-z0-9._:/@-]+(\([^)]*\))?[>#]$", command: Some("show version") },
];

const fn system(
    name: &'static str,
    answer: &'static str,
    welcome: &'static str,
    templates: &'static [&'static str],
) -> System {
    System { name, answer, welcome, templates }
}

/// The systems, a particular one before one that it resembles.
pub const SYSTEMS: &[System] = &[
    system("Cisco IOS XR", "Cisco IOS XR", r"^RP/\d+/", &["cisco-iosxr"]),
    system("Cisco NX-OS", r"Cisco Nexus|NX-OS", "", &["cisco-nxos"]),
    system("Cisco ASA", "Cisco Adaptive Security Appliance", "", &["cisco-asa"]),
    system("Cisco Firepower", "Firepower Threat Defense", "", &["cisco-ftd"]),
    system(
        "Cisco IOS or IOS XE, not yet enabled",
        r"Cisco IOS(-XE)? Software[\s\S]*>\s*$|Cisco Internetwork Operating System[\s\S]*>\s*$",
        "",
        &["cisco-ios-with-enable", "cisco-ios", "cisco-ios-xe-scrypt", "cisco-ios-enable"],
    ),
    system(
        "Cisco IOS or IOS XE",
        "Cisco IOS(-XE)? Software|Cisco Internetwork Operating System",
        "",
        &["cisco-ios", "cisco-ios-xe-scrypt", "cisco-ios-with-enable", "cisco-ios-enable"],
    ),
    system("Cisco Wireless LAN Controller", "", r"^\(Cisco Controller\)", &["cisco-wlc"]),
    system("Arista EOS", r"^\s*Arista ", "", &["arista-eos"]),
    system("Juniper Junos", r"JUNOS|^Junos:", "--- JUNOS ", &["juniper-junos"]),
    system("Palo Alto PAN-OS", r"^model: PA-|family: .*vm", "", &["paloalto-panos"]),
    system("VyOS", r"Version:\s+VyOS", "Welcome to VyOS", &["vyos"]),
    system("Ubiquiti EdgeOS", "EdgeRouter|EdgeOS", "Welcome to EdgeOS", &["ubiquiti-edgeos"]),
    system("Aruba AOS-CX", "ArubaOS-CX|AOS-CX", "", &["aruba-aoscx"]),
    system("ArubaOS", "ArubaOS", "", &["aruba-os"]),
    system("Huawei VRP", "Huawei Versatile Routing Platform|Huawei Technologies", "", &["huawei-vrp"]),
    system("HPE or H3C Comware", "Comware", "", &["hpe-comware", "hpe-comware5"]),
    system("HPE ProCurve", "ProCurve|Image stamp:", "", &["hpe-procurve"]),
    system("Dell OS10", "Dell (EMC Networking|SmartFabric) OS10|OS10 Enterprise", "", &["dell-os10"]),
    system("Extreme EXOS", "ExtremeXOS|Switch Engine", "", &["extreme-exos"]),
    system("Brocade Fabric OS", r"Fabric OS:", "", &["brocade-fos"]),
    system("Ruckus ICX", "Ruckus|ICX", "", &["ruckus-icx"]),
    system("Nokia SR OS", "TiMOS", "", &["nokia-sros-md", "nokia-sros-classic"]),
    system("NetApp ONTAP", "NetApp Release", "", &["netapp-ontap"]),
    system("Check Point Gaia", "Check Point Gaia", "", &["checkpoint-gaia"]),
    system("F5 BIG-IP", "BIG-IP", r"\(tmos\)#", &["f5-bigip-tmsh"]),
    system("Fortinet FortiOS", r"Version: Forti(Gate|WiFi)", "", &["fortinet-fortios", "fortinet-fortios-vdom"]),
    system("Fortinet FortiManager", r"FortiManager", "", &["fortinet-fortimanager"]),
    system("Fortinet FortiMail", r"FortiMail", "", &["fortinet-fortimail"]),
    system("MikroTik RouterOS", r"platform: MikroTik", "MikroTik RouterOS", &["mikrotik-routeros"]),
    system("Citrix NetScaler", "NetScaler", "", &["citrix-netscaler"]),
    system("Windows, in PowerShell", "PSVersion", "", &["windows-powershell"]),
    system("Windows", r"Microsoft Windows \[Version", "", &["windows-net-user"]),
    system("OpenWrt", r"^Linux OpenWrt ", r"\bOpenWrt\b", &["openwrt-passwd"]),
    system("SONiC", "", r"\bSONiC\b", &["sonic"]),
    system("VMware ESXi", "VMkernel", "", &["esxi-passwd"]),
    system("Synology DSM", r"^Linux .*synology", "", &["synology-dsm"]),
    system("pfSense", r"^FreeBSD .*pfSense", "pfSense", &["pfsense"]),
    system("FreeBSD", r"^FreeBSD ", "", &["freebsd-passwd"]),
    system("OpenBSD", r"^OpenBSD ", "", &["openbsd-passwd"]),
    system("NetBSD", r"^NetBSD ", "", &["netbsd-passwd"]),
    system("macOS", r"^Darwin ", "", &["macos-passwd"]),
    system("AIX", r"^AIX ", "", &["aix-passwd"]),
    system("HP-UX", r"^HP-UX ", "", &["hpux-passwd"]),
    system("Solaris", r"^SunOS ", "", &["solaris-passwd"]),
    system(
        "Linux",
        r"^Linux ",
        "",
        &["linux-passwd", "linux-sudo-passwd", "linux-passwd-as-root", "linux-su-passwd", "linux-doas-passwd"],
    ),
];
