package wire

// An AccountAttribute is something that is true of an account in a region.
type AccountAttribute struct {
	Name   string               `xml:"attributeName"`
	Values List[AttributeValue] `xml:"attributeValueSet"`
}

// An AttributeValue is one value of an attribute.
type AttributeValue struct {
	Value string `xml:"attributeValue"`
}

// NewAccountAttribute returns an attribute of one value as a document.
func NewAccountAttribute(name, value string) AccountAttribute {
	return AccountAttribute{name, List[AttributeValue]{Items: []AttributeValue{{value}}}}
}
