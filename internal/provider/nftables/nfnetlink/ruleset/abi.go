//go:build linux

package ruleset

import "golang.org/x/sys/unix"

// The parts of the kernel's interface that golang.org/x/sys/unix does not have, under the kernel's names.
const (
	attrTableUserdata = 6  // NFTA_TABLE_USERDATA
	attrTableOwner    = 7  // NFTA_TABLE_OWNER
	attrHookDevs      = 4  // NFTA_HOOK_DEVS
	attrDeviceName    = 1  // NFTA_DEVICE_NAME
	attrChainUserdata = 12 // NFTA_CHAIN_USERDATA
	attrSetExpr       = 17 // NFTA_SET_EXPR
	attrSetExprs      = 18 // NFTA_SET_EXPRESSIONS
	attrElemKeyEnd    = 10 // NFTA_SET_ELEM_KEY_END
	attrElemExprs     = 11 // NFTA_SET_ELEM_EXPRESSIONS
	attrBitwiseOp     = 6  // NFTA_BITWISE_OP

	// The user data types of libnftnl: what nft writes beside an object for itself to read.
	udataComment         = 0 // of a table, a chain, a rule or an element
	udataSetKeyByteorder = 0
	udataSetComment      = 7

	maxAttr    = 1<<16 - 1
	maxName    = unix.NFT_NAME_MAXLEN - 1
	maxKey     = unix.NFT_DATA_VALUE_MAXLEN
	nestedMask = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
)
