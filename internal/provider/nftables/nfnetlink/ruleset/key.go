//go:build linux

package ruleset

import "encoding/binary"

// DataType is nft's number for the type of a field. The kernel stores it and does not care; nft prints by it.
type DataType uint8

// The data types that keys are made of.
const (
	IPv4Addr    DataType = 7
	IPv6Addr    DataType = 8
	InetProto   DataType = 12
	InetService DataType = 13
)

// length returns the length in bytes of a value of the type, 0 when this package does not know it.
func (t DataType) length() int {
	switch t {
	case IPv4Addr:
		return 4
	case IPv6Addr:
		return 16
	case InetProto:
		return 1
	case InetService:
		return 2
	default:
		return 0
	}
}

// KeyType is nft's number for the type of a key: six bits for each field of a concatenation, the last one lowest.
type KeyType uint32

const (
	keyTypeBits   = 6
	maxKeyFields  = 5
	keyTypeMask   = 1<<keyTypeBits - 1
	registerBytes = 4
)

// KeyOf returns the type of a key with these fields, five at most: more give 0, which is no type.
func KeyOf(fields ...DataType) KeyType {
	if len(fields) > maxKeyFields {
		return 0
	}
	var k KeyType
	for _, f := range fields {
		k = k<<keyTypeBits | KeyType(f&keyTypeMask)
	}
	return k
}

// length returns the length in bytes of a key of the type, 0 when this package does not know one of its fields.
func (k KeyType) length() int {
	if k <= keyTypeMask {
		return DataType(k).length()
	}
	total := 0
	for ; k != 0; k >>= keyTypeBits {
		n := DataType(k & keyTypeMask).length()
		if n == 0 {
			return 0
		}
		total += Align(n)
	}
	return total
}

// Concat joins fields into a key as the kernel's registers hold them: each of several fields is padded with zeros to
// four bytes. A single field stays as it is.
func Concat(fields ...[]byte) []byte {
	if len(fields) == 1 {
		return fields[0]
	}
	key := make([]byte, 0, 2*len(fields)*registerBytes)
	for _, f := range fields {
		key = append(key, f...)
		for len(key)%registerBytes != 0 {
			key = append(key, 0)
		}
	}
	return key
}

// ProtoKey returns the field of an IP protocol number.
func ProtoKey(proto uint8) []byte { return []byte{proto} }

// PortKey returns the field of a port.
func PortKey(port uint16) []byte { return binary.BigEndian.AppendUint16(nil, port) }
