// Package query is the query protocol of Amazon's older services: parameters in
// a form, a reply in XML, errors of its own shape, and pages with tokens that
// mean something only to the server.
package query

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// The namespaces of the two services.
const (
	EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"
	STS = "https://sts.amazonaws.com/doc/2011-06-15/"
)

// A Reply is the elements of an answer, in order.
type Reply []Field

// A Field is one element: a text, a flag, or a document. Nil and "" are left out.
type Field struct {
	Name  string
	Value any
}

// Done is the reply of calls that return nothing else.
func Done() Reply { return Reply{{"return", true}} }

// Encode returns the document of an answer.
func (r Reply) Encode(action, namespace, request string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	root := element(action + "Response")
	root.Attr = []xml.Attr{{Name: xml.Name{Space: "", Local: "xmlns"}, Value: namespace}}
	err := e.EncodeToken(root)
	fields := append(Reply{{"requestId", request}}, r...)
	result := element(action + "Result")
	if namespace == STS {
		fields = r
		err = errors.Join(err, e.EncodeToken(result))
	}
	for _, f := range fields {
		if f.Value != nil && f.Value != "" {
			err = errors.Join(err, e.EncodeElement(f.Value, element(f.Name)))
		}
	}
	if namespace == STS {
		meta := struct {
			ID string `xml:"RequestId"`
		}{request}
		err = errors.Join(err, e.EncodeToken(result.End()), e.EncodeElement(meta, element("ResponseMetadata")))
	}
	err = errors.Join(err, e.EncodeToken(root.End()), e.Close())
	return b.Bytes(), err
}

func element(name string) xml.StartElement {
	return xml.StartElement{Name: xml.Name{Space: "", Local: name}, Attr: nil}
}

// EncodeError returns the document of an error, with its HTTP status.
func EncodeError(why error, namespace, request string) (status int, body []byte) {
	var refused *world.Error
	if !errors.As(why, &refused) {
		refused = world.Refuse("InternalError", "An internal error has occurred")
	}
	type code struct {
		Type    string `xml:"Type,omitempty"`
		Code    string
		Message string
	}
	status = Status(refused.Code)
	var err error
	if namespace == STS {
		who := "Sender"
		if status >= http.StatusInternalServerError {
			who = "Receiver"
		}
		body, err = xml.Marshal(struct {
			XMLName xml.Name `xml:"ErrorResponse"`
			NS      string   `xml:"xmlns,attr"`
			Error   code
			Request string `xml:"RequestId"`
		}{NS: namespace, Error: code{who, refused.Code, refused.Message}, Request: request})
	} else {
		body, err = xml.Marshal(struct {
			XMLName xml.Name `xml:"Response"`
			Errors  []code   `xml:"Errors>Error"`
			Request string   `xml:"RequestID"`
		}{Errors: []code{{"", refused.Code, refused.Message}}, Request: request})
	}
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	return status, append([]byte(xml.Header), body...)
}

// Status is the HTTP status that an error comes with.
func Status(code string) int {
	switch code {
	case "AuthFailure":
		return http.StatusUnauthorized
	case "UnauthorizedOperation", "AccessDenied", "InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken", "OptInRequired":
		return http.StatusForbidden
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "RequestLimitExceeded", "Unavailable":
		return http.StatusServiceUnavailable
	case "InternalError":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
