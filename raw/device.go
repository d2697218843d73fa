//go:build linux && !android

package raw

// guardDevice returns the device that listeners must be bound to for segments
// that arrive by the given one: itself in a VRF (their socket lookup matches
// the interface or its master), none elsewhere.
func guardDevice(device string) (string, error) {
	if device == "" {
		return "", nil
	}
	conn, err := dialRoute()
	if err != nil {
		return "", err
	}
	defer conn.close()
	links, err := conn.links()
	if err != nil {
		return "", err
	}
	return vrfDevice(links, device)
}

func vrfDevice(links map[int]linkInfo, device string) (string, error) {
	index, err := (&routeTable{links: links}).indexOf(device)
	if err != nil {
		return "", err
	}
	link := links[index]
	if link.kind == "vrf" || links[link.master].kind == "vrf" {
		return link.name, nil
	}
	return "", nil
}

// zoneIndex returns the index of an interface by its name or number, 0 for "".
func zoneIndex(zone string) (int, error) {
	if zone == "" {
		return 0, nil
	}
	conn, err := dialRoute()
	if err != nil {
		return 0, err
	}
	defer conn.close()
	links, err := conn.links()
	if err != nil {
		return 0, err
	}
	return (&routeTable{links: links}).indexOf(zone)
}
