// Package radios opens the radio that a URL names, whatever kind it is, so that the daemon
// and the device need not know the kinds:
//
//	zep://[::1]:17754?mode=hub&channel=26&pan=0x0023    802.15.4 frames in UDP
//	spinel:///dev/ttyACM0?baud=460800                   a dongle with OpenThread's RCP firmware
//	spinel+tcp://host:port
//	slip:///dev/ttyUSB0                                 a dongle with Contiki-NG's slip-radio
//	slip+tcp://host:60001
//	wpan://wpan0                                        a radio of the Linux kernel
//
// [Parse] reads the URL and says what stands in it; [URL.Open] opens the radio with what
// the program adds. The grammar of each kind is that of its package.
package radios
