"""The attributes that columns and attributes of other directories become, by their names."""

import re
from collections.abc import Mapping

from quartet_directory_formats.attribute_paths import PATH, Path, parse_path
from quartet_directory_formats.records import FormatError, shown

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SPECIAL = {"id", "passwordHash", "groups", "members"}
"""Targets that are no attributes of the resource."""

_NAMES = {
    "userName": "username login loginname user userid uid accountname samaccountname userprincipalname",
    "externalId": "externalid objectid",
    "active": "active enabled accountenabled isactive",
    "displayName": "displayname fullname name group groupname",
    "nickName": "nickname",
    "title": "title jobtitle",
    "userType": "usertype employeetype",
    "preferredLanguage": "preferredlanguage language",
    "locale": "locale",
    "timezone": "timezone zoneinfo",
    "profileUrl": "profileurl labeleduri website",
    "name.formatted": "formattedname",
    "name.givenName": "givenname firstname forename",
    "name.familyName": "familyname lastname surname sn",
    "name.middleName": "middlename middle",
    "name.honorificPrefix": "honorificprefix prefix salutation",
    "name.honorificSuffix": "honorificsuffix suffix",
    'emails[type eq "work"].value': "email mail emailaddress workemail",
    'emails[type eq "home"].value': "homeemail privateemail personalemail",
    'phoneNumbers[type eq "work"].value': "phone telephone phonenumber telephonenumber workphone",
    'phoneNumbers[type eq "mobile"].value': "mobile mobilephone cellphone cell",
    'phoneNumbers[type eq "home"].value': "homephone",
    'addresses[type eq "work"].streetAddress': "street streetaddress postaladdress",
    'addresses[type eq "work"].locality': "city locality l",
    'addresses[type eq "work"].region': "state region province st",
    'addresses[type eq "work"].postalCode': "postalcode zip zipcode",
    'addresses[type eq "work"].country': "country c",
    f"{ENTERPRISE}:employeeNumber": "employeenumber employeeid",
    f"{ENTERPRISE}:costCenter": "costcenter costcentre",
    f"{ENTERPRISE}:organization": "organization organisation company o",
    f"{ENTERPRISE}:division": "division",
    f"{ENTERPRISE}:department": "department departmentnumber",
    "password": "password",
    "id": "id",
    "passwordHash": "passwordhash",
    "groups": "groups memberof",
    "members": "members member",
}
TARGETS = {name: target for target, names in _NAMES.items() for name in names.split()}
"""From names in lower case without separators to targets."""
STRUCTURED = re.compile(r"[.\[]|^urn:")


def target_of(name: str, mapping: Mapping[str, str]) -> str | None:
    """The target of a column or foreign attribute: of the mapping, a known name, or a path itself; None if unknown."""
    if name in mapping:
        return mapping[name]
    plain = re.sub(r"[\W_]+", "", name).lower()
    if plain in TARGETS:
        return TARGETS[plain]
    return name if STRUCTURED.search(name) and PATH.fullmatch(name) else None


def path_of(target: str) -> Path | None:
    """The path of a target; None for SPECIAL ones. Raises FormatError."""
    return None if target in SPECIAL else parse_path(target)


def check_mapping(mapping: Mapping[str, str]) -> None:
    """Raises FormatError for a target that is no path."""
    for name, target in mapping.items():
        if not name:
            raise FormatError(f"The mapping to {shown(target)!r} names no column.")
        if target:
            path_of(target)
