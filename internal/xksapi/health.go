package xksapi

import "github.com/strongroom/strongroom/internal/wire"

// Health is the answer of GetHealthStatus.
type Health struct {
	FleetSize     int32
	Vendor, Model string // of the proxy
	ManagerVendor string
	Managers      []Manager // 1 to 10
}

// Manager is one external key manager behind a proxy.
type Manager struct {
	ID, Model string
	Status    Status
}

// Status is the health of an external key manager.
type Status string

// The values of Status. A degraded manager still serves.
const (
	Active      Status = "ACTIVE"
	Degraded    Status = "DEGRADED"
	Unavailable Status = "UNAVAILABLE"
)

// Serves tells whether any manager does.
func (h *Health) Serves() bool {
	for _, m := range h.Managers {
		if m.Status != Unavailable {
			return true
		}
	}
	return false
}

// AppendJSON appends the answer's body.
func (h *Health) AppendJSON(dst []byte) []byte {
	dst = wire.AppendInt(wire.AppendName(append(dst, '{'), "xksProxyFleetSize"), int64(h.FleetSize))
	dst = wire.AppendString(wire.AppendName(dst, "xksProxyVendor"), h.Vendor)
	dst = wire.AppendString(wire.AppendName(dst, "xksProxyModel"), h.Model)
	dst = wire.AppendString(wire.AppendName(dst, "ekmVendor"), h.ManagerVendor)
	dst = append(wire.AppendName(dst, "ekmFleetDetails"), '[')
	for _, m := range h.Managers {
		dst = append(wire.AppendComma(dst), '{')
		dst = wire.AppendString(wire.AppendName(dst, "id"), m.ID)
		dst = wire.AppendString(wire.AppendName(dst, "model"), m.Model)
		dst = append(wire.AppendString(wire.AppendName(dst, "healthStatus"), string(m.Status)), '}')
	}
	return append(dst, "]}"...)
}

const maxManagers = 10

// ParseHealth reads the answer of GetHealthStatus. Its only error is ErrMalformed.
func ParseHealth(body []byte) (*Health, error) {
	h := &Health{}
	var seen uint64
	d := wire.ReadJSON(body)
	d.Object()
	for d.Next() {
		switch string(d.Key()) {
		case "xksProxyFleetSize":
			if d.Member(&seen, 1) {
				h.FleetSize = d.Int32()
			}
		case "xksProxyVendor":
			text(&d, &seen, 2, &h.Vendor)
		case "xksProxyModel":
			text(&d, &seen, 4, &h.Model)
		case "ekmVendor":
			text(&d, &seen, 8, &h.ManagerVendor)
		case "ekmFleetDetails":
			if d.Member(&seen, 16) {
				for d.Array(); d.Element(); {
					h.Managers = append(h.Managers, readManager(&d))
				}
			}
		default:
			d.Unknown()
		}
	}
	const all = 31
	if d.Close() != nil || seen != all || len(h.Managers) == 0 || len(h.Managers) > maxManagers {
		return nil, ErrMalformed
	}
	for _, m := range h.Managers {
		if m.Status != Active && m.Status != Degraded && m.Status != Unavailable {
			return nil, ErrMalformed
		}
	}
	return h, nil
}

func readManager(d *wire.JSON) (m Manager) {
	var seen uint64
	d.Object()
	for d.Next() {
		switch string(d.Key()) {
		case "id":
			text(d, &seen, 1, &m.ID)
		case "model":
			text(d, &seen, 2, &m.Model)
		case "healthStatus":
			if d.Member(&seen, 4) {
				m.Status = Status(d.Text())
			}
		default:
			d.Unknown()
		}
	}
	return m
}

func text(d *wire.JSON, seen *uint64, bit uint64, to *string) {
	if d.Member(seen, bit) {
		*to = string(d.Text())
	}
}
