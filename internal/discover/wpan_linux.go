package discover

import "border-router/ieee802154/wpan"

// describeWPAN reads what the kernel tells of an interface, and changes nothing.
func describeWPAN(target string) (*Radio, error) {
	c, err := wpan.ParseURL(target)
	if err != nil {
		return nil, err
	}
	info, err := wpan.Read(c.Interface)
	if err != nil {
		return nil, err
	}
	return &Radio{URL: target, Protocol: WPAN, EUI64: euiText(info.EUI64), Channel: info.Channel, PAN: panText(info.PAN),
		Version: "Linux kernel"}, nil
}
