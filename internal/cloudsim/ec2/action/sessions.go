package action

import (
	"regexp"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// STS returns everything that can be done of the STS API, by name.
func STS() map[string]Action {
	return map[string]Action{
		"GetCallerIdentity": {Run: func(c *Call) (query.Reply, error) {
			c.Asked = true // nobody needs permission to be told who he is
			return query.Reply{
				{Name: "UserId", Value: c.Who.UserID}, {Name: "Account", Value: c.Who.Account}, {Name: "Arn", Value: c.Who.ARN},
			}, c.Err()
		}},
		"AssumeRole": {Run: assumeRole},
	}
}

// assumeRole gives the caller a session in a role: the caller must be allowed to
// ask, the role must trust the caller, and the external id must be the role's.
func assumeRole(c *Call) (query.Reply, error) {
	c.Asked = true
	role, session, external := c.Need("RoleArn"), c.Need("RoleSessionName"), c.Text("ExternalId")
	length := c.Number("DurationSeconds")
	if err := c.Err(); err != nil {
		return nil, err
	}
	if !regexp.MustCompile(`^arn:aws:iam::\d{12}:role/[\w+=,.@/-]+$`).MatchString(role) {
		return nil, world.Refuse("ValidationError", "%s is invalid", role)
	}
	if !regexp.MustCompile(`^[\w+=,.@-]{2,64}$`).MatchString(session) {
		return nil, world.Refuse("ValidationError", "1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint", session)
	}
	if !c.Who.MayAssume(role) {
		return nil, world.Refuse("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.Who.ARN, role)
	}
	seconds := 0
	if length != nil {
		seconds = *length
	}
	key, err := c.Setting.Identities.Assume(c.Who, role, session, external, time.Duration(seconds)*time.Second, c.Now.Add(c.Setting.Skew))
	if err != nil {
		return nil, err
	}
	type credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	type user struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		ARN           string `xml:"Arn"`
	}
	return query.Reply{
		{Name: "Credentials", Value: credentials{key.ID, key.Secret, key.Token, key.Ends.UTC().Format(time.RFC3339)}},
		{Name: "AssumedRoleUser", Value: user{key.Principal.UserID, key.Principal.ARN}},
	}, nil
}
