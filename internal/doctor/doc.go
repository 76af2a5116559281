// Package doctor looks at the machine with the eyes of a router that is about to start: for
// each thing that a border router needs, whether it is there, and if not, the command that
// mends it.
//
// It covers the configuration, a router that runs already, capabilities, the TUN device, the
// IPv6 settings of the kernel (forwarding, and accept_ra and accept_ra_rt_info_max_plen on
// the way to the LAN, RFC 4191), other senders of router advertisements, ModemManager, the
// clock, the state directory, and each radio, which it opens if nobody has it. It changes
// nothing; a dongle that is asked is reset by it.
//
// Everything is read below a root directory, so that a machine that is set up wrongly can be
// put into a directory. It does not look into a running router: border-router status does.
//
// References: the kernel's Documentation/networking/ip-sysctl.rst, RFC 4191.
package doctor
