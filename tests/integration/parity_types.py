"""Every type of the Debezium document (4.5), with values at its edges, and what 4.9 says of each.

What is stated here of a value is by hand from the document, never from what lockstep does: the
tests compare lockstep's debts with it.

Not here, since Debezium 3.6 itself ends with them whatever its settings are: an interval of 2^31
hours, and a domain over an enum anywhere in the database.
"""

from dataclasses import dataclass, field

PLACEHOLDER = "__debezium_unavailable_value"  # Debezium's own; user data may equal it.

# When an event carries a type's values.
ALWAYS, NEVER = "always", "never"
IF_UNKNOWN = "include.unknown.datatypes=true"
UNLESS_UNKNOWN = "include.unknown.datatypes=false"
IF_TEXT = "interval.handling.mode=string"


class Doubtful(str):
    """A value that an event never carries, though it carries others of its type."""


@dataclass(frozen=True)
class Kind:
    """One type.  Its table has the columns id, v of this type, n."""
    name: str
    sql: str
    values: tuple  # As literals, unquoted; NULL goes without saying.
    carried: str = ALWAYS
    # Whether event.converting.failure.handling.mode=warn leaves no doubt about NULL: the type's
    # conversion cannot fail, and the placeholder of an unchanged TOAST value fits its schema.
    sure_null: bool = True
    absent: str = NEVER  # When the column is not in the event, so that not even its NULL is.
    # Debezium fails to convert some values: it sends NULL for them under `warn` and ends under
    # `fail`.
    fails: bool = False
    more: str = ""         # More columns of the table.
    rule: dict = field(default_factory=dict)  # Of the manifest, for its table.

    @property
    def table(self):
        return f"of_{self.name}"  # A type's own name is taken by its type.

    def literals(self):
        """NULL first."""
        return (None, *self.values)

    def is_carried(self, value, settings, identity):
        """Whether an event under these connector settings says exactly what `value` is."""
        warns = settings["event.converting.failure.handling.mode"] != "fail"
        unknown = settings["include.unknown.datatypes"] == "true"
        absent = self.absent == ALWAYS or (
            not unknown and (self.carried == IF_UNKNOWN or self.absent == UNLESS_UNKNOWN))
        if value is None:
            # Of intervals and of these types it may stand for a value that could not be converted.
            may_fail = self.fails or self.sql.startswith("interval")
            sure = not may_fail and (self.sure_null or identity == "FULL")
            return not absent and (sure or not warns)
        if value in (PLACEHOLDER, f"{{{PLACEHOLDER}}}"):
            return settings["unavailable.value.placeholder"] != PLACEHOLDER
        if self.carried == IF_TEXT and settings["interval.handling.mode"] != "string":
            return False
        return not (absent or self.carried == NEVER or isinstance(value, Doubtful))


DDL = """
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('happy', 'so so', 'it''s "bad"', 'naïve');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE nested AS (p pair, tags text[], n numeric);
CREATE TYPE floatrange AS RANGE (subtype = float8);
CREATE DOMAIN whole AS int CHECK (value > -100);
CREATE DOMAIN price AS numeric(10, 2);
CREATE DOMAIN fine_price AS price CHECK (value >= 0);
CREATE DOMAIN code AS varchar(5);
CREATE DOMAIN moment AS timestamp(3);
CREATE DOMAIN numbers AS int[];
"""

_TEXTS = ("", "a", " both sides ", "é ☃ \U0001F600", "null", "NULL", r"\N", "tab\tline\nend\r",
          r'quotes \" '"'", "\x01\x7f", "NaN", PLACEHOLDER)
_INT_ARRAYS = ("{}", "{1}", "{1,-2,3}", Doubtful("{1,NULL,3}"), Doubtful("{NULL}"),
               Doubtful("{{1,2},{3,4}}"), Doubtful("{{{1}},{{2}}}"))
_TIMES = ("00:00:00", "13:14:15.123456", "23:59:59.999999", "24:00:00", "00:00:00.000001")
# Beyond the year 294246 Debezium's arithmetic wraps: no event says which moment it was.
_STAMPS = ("2024-02-29 13:14:15.123456", "1969-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC",
           "4713-11-24 00:00:00 BC", "1582-10-10 00:00:00", "0001-01-01 00:00:00",
           "9999-12-31 23:59:59.999999", "10000-01-01 00:00:00", "infinity", "-infinity")
_LAST_STAMP = "294276-12-31 23:59:59.999999"
_ZONED = ("2024-02-29 13:14:15.123456+05:30", "1969-12-31 23:59:59.999999-08", "infinity",
          "0044-03-15 12:00:00+00 BC", "4713-11-24 00:00:00+00 BC", "-infinity",
          "294276-12-31 23:59:59.999999+00")
_THOUSAND = "9" * 500 + "." + "1234567890" * 50

NUMBERS = [
    Kind("bool", "bool", ("t", "f")),
    Kind("int2", "int2", ("0", "-32768", "32767")),
    Kind("int4", "int4", ("0", "-2147483648", "2147483647")),
    Kind("int8", "int8", ("0", "-9223372036854775808", "9223372036854775807", "9007199254740993")),
    Kind("oid", "oid", ("0", "4294967295")),
    Kind("float4", "float4", ("0", "-0", "1e-45", "3.4028235e38", "0.1", "NaN", "Infinity",
                              "-Infinity")),
    Kind("float8", "float8", ("0", "-0", "5e-324", "1.7976931348623157e308", "0.1", "1e15", "NaN",
                              "Infinity", "-Infinity")),
    Kind("decimals", "numeric", ("0", "1.00", "1.0", "1", "-0.000", "NaN", "Infinity", "-Infinity",
                                 "1e-20", "1e30", _THOUSAND, "-" + _THOUSAND), sure_null=False),
    Kind("numeric_10_2", "numeric(10, 2)", ("0", "1", "-12345678.90", "NaN"), sure_null=False),
    Kind("numeric_5_0", "numeric(5, 0)", ("0", "-99999"), sure_null=False),
    Kind("numeric_5_minus_2", "numeric(5, -2)", ("0", "12345", "-9999900", "NaN"),
         sure_null=False),
    Kind("numeric_3_5", "numeric(3, 5)", ("0", "0.00999", "-0.00001"), sure_null=False),
    Kind("money", "money", ("0", "-1234.56", "92233720368547758.07", "-92233720368547758.08")),
    Kind("defaulted", "int4 DEFAULT 7", ("7", "8")),
    Kind("generated", "int4", ("1", "-1"),
         more=", twice int8 GENERATED ALWAYS AS (v * 2::int8) STORED"),
]

TEXTS = [
    Kind("text", "text", _TEXTS),
    Kind("defaulted_text", "text DEFAULT 'seven'", ("", "seven")),
    Kind("varchar", "varchar(30)", _TEXTS),
    Kind("char", f"char({len(PLACEHOLDER)})", _TEXTS),
    Kind("one_byte", '"char"', ("", "a", r"\200", r"\377")),
    Kind("name", "name", ("", "a name", "é"), carried=IF_UNKNOWN),
    Kind("citext", "citext", ("", "Mixed", "mIXED", "É", PLACEHOLDER)),
    Kind("bytea", "bytea", ("", r"\x00", r"\x00ff10", r"\x5c78", r"\x2020", PLACEHOLDER),
         sure_null=False),
    # Their base64 could be the hexadecimal digits of other bytes: abcd, 0123...
    Kind("bytea_like_hex", "bytea",
         (Doubtful(r"\x69b71d"), Doubtful(r"\xd35db7e39ebbf3d69bebae7a")), sure_null=False),
    Kind("json", "json", ('{"a": 1, "a":  2}', "null", '"é"', "1e400", '{ }',
                          f'"{PLACEHOLDER}"')),
    Kind("jsonb", "jsonb", ('{"b": [1, null], "a": 1.00}', "null", '"\\u00e9 \U0001F600"', "1e400",
                            "{}", f'"{PLACEHOLDER}"')),
    Kind("xml", "xml", ("<a b='1'>é</a>", "", "text only")),
    Kind("uuid", "uuid", ("00000000-0000-0000-0000-000000000000",
                          "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    Kind("enum", "mood", ("happy", "so so", "it's \"bad\"", "naïve")),
    Kind("ltree", "ltree", ("", "Top.Science.Astronomy", "a_1"), sure_null=False),
    Kind("tsvector", "tsvector", ("", "a fat cat", "'it''s':1A,2 'b':3C"), sure_null=False),
    Kind("tsquery", "tsquery", ("", "fat & (rat | !cat)", "'a b':*A <2> c"), carried=IF_UNKNOWN),
    Kind("hstore", "hstore", ("", "a=>1", 'a=>NULL, "b c"=>"d\\"e", ""=>""', '"é"=>"NULL"')),
    Kind("jsonpath", "jsonpath", ("$", '$.a[*] ? (@ > 1)'), carried=IF_UNKNOWN, sure_null=False),
]

TIMES = [
    Kind("date", "date", ("2024-02-29", "1969-12-31", "0044-03-15 BC", "4713-11-24 BC",
                          "1582-10-10", "5874897-12-31", "infinity", "-infinity")),
    Kind("time", "time", _TIMES),
    Kind("time_0", "time(0)", ("00:00:00", "13:14:15", "24:00:00")),
    Kind("time_3", "time(3)", ("00:00:00.001", "13:14:15.123", "24:00:00")),
    Kind("timetz", "timetz", ("13:14:15.123456+05:30", "00:00:00-15:59", "24:00:00+00"),
         carried=NEVER),
    Kind("timestamp", "timestamp", (*_STAMPS, Doubtful(_LAST_STAMP))),
    Kind("timestamp_0", "timestamp(0)", ("2024-02-29 13:14:15", "0044-03-15 12:00:00 BC",
                                         "infinity", "-infinity")),
    Kind("timestamp_3", "timestamp(3)", ("2024-02-29 13:14:15.123", "0044-03-15 12:00:00 BC",
                                         "infinity", "-infinity")),
    Kind("timestamptz", "timestamptz", _ZONED),
    Kind("timestamptz_0", "timestamptz(0)", ("2024-02-29 13:14:15+05:30", "infinity")),
    Kind("timestamptz_3", "timestamptz(3)", ("2024-02-29 13:14:15.123+05:30", "-infinity")),
    Kind("interval", "interval", ("0", "1 year 2 mons 3 days 04:05:06.789012",
                                  "-1 year +2 days -03:04:05.000001", "1 mon", "30 days",
                                  "720:00:00", "-00:00:00.000001"),
         carried=IF_TEXT, sure_null=False),
    Kind("interval_0", "interval second(0)", ("0", "1 day 00:00:07"), carried=IF_TEXT,
         sure_null=False),
]

BYTES = [
    Kind("bit_1", "bit(1)", ("0", "1"), sure_null=False),
    Kind("bit_8", "bit(8)", ("00000000", "10000001", "01000000"), sure_null=False),
    Kind("bit_12", "bit(12)", ("000000000001", "100000000000", "111111111111"), sure_null=False),
    Kind("varbit", "varbit", ("", "0", "101", "0000000000001"), carried=NEVER, sure_null=False),
    Kind("varbit_1", "varbit(1)", ("", "0", "1"), carried=NEVER, fails=True),
    Kind("varbit_12", "varbit(12)", ("", "0001"), carried=NEVER, sure_null=False),
    Kind("inet", "inet", ("1.2.3.4", "1.2.3.4/24", "::1", "2001:db8::/32", "::ffff:1.2.3.4")),
    Kind("cidr", "cidr", ("1.2.3.0/24", "0.0.0.0/0", "2001:db8::/32")),
    Kind("macaddr", "macaddr", ("08:00:2b:01:02:03",)),
    Kind("macaddr8", "macaddr8", ("08:00:2b:01:02:03:04:05",)),
    Kind("pg_lsn", "pg_lsn", ("0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"), carried=IF_UNKNOWN),
    Kind("xid8", "xid8", ("0", "18446744073709551615"), carried=IF_UNKNOWN),
    Kind("xid", "xid", ("0", "4294967295"), carried=IF_UNKNOWN),
    Kind("tid", "tid", ("(0,0)", "(4294967295,65535)"), carried=IF_UNKNOWN),
    Kind("snapshot", "pg_snapshot", ("10:20:10,14,15", "1:1:"), carried=IF_UNKNOWN,
         sure_null=False),
    Kind("txid_snapshot", "txid_snapshot", ("10:20:10,14,15",), carried=IF_UNKNOWN,
         sure_null=False),
]

SHAPES = [
    Kind("point", "point", ("(1.5,-2)", "(0.1,1e300)", "(Infinity,NaN)")),
    Kind("box", "box", ("(1,2),(0.1,-4)",), carried=IF_UNKNOWN),
    Kind("lseg", "lseg", ("[(1,2),(0.1,1e-30)]",), carried=IF_UNKNOWN),
    Kind("line", "line", ("{1,-1,0.1}",), carried=IF_UNKNOWN),
    Kind("circle", "circle", ("<(1,2),0.1>",), carried=IF_UNKNOWN),
    Kind("path", "path", ("[(1,2),(3,4.5)]", "((1,2),(3,4))"), carried=IF_UNKNOWN,
         sure_null=False),
    Kind("polygon", "polygon", ("((1,2),(3,4),(5,0.1))",), carried=IF_UNKNOWN, sure_null=False),
]

RANGES = [
    Kind("int4range", "int4range", ("empty", "[1,5)", "[1,5]", "(,)", "(,3]")),
    Kind("int8range", "int8range", ("empty", "[-9223372036854775808,9223372036854775807)")),
    Kind("numrange", "numrange", ("empty", "[1.0,1.00]", "(-Infinity,NaN)", "(1e30,)")),
    Kind("daterange", "daterange", ("empty", "[2024-02-29,infinity)", "[0044-03-15 BC,)")),
    Kind("tsrange", "tsrange", ("empty", "[2024-02-29 13:14:15.5,infinity)",
                                "(0044-03-15 12:00:00 BC,2000-01-01)")),
    Kind("tstzrange", "tstzrange", ("empty", "[2024-02-29 13:14:15.5+05:30,infinity)", "(,)")),
    Kind("floatrange", "floatrange", ("empty", "[0.1,Infinity]"), carried=IF_UNKNOWN,
         sure_null=False),
    Kind("int4multirange", "int4multirange", ("{}", "{[1,3),[5,7)}"), carried=IF_UNKNOWN,
         sure_null=False),
    Kind("tstzmultirange", "tstzmultirange", ("{}", "{[2024-02-29 13:14:15+05:30,)}"),
         carried=IF_UNKNOWN, sure_null=False),
    Kind("floatmultirange", "floatmultirange", ("{}", "{[0.1,0.2]}"), carried=IF_UNKNOWN,
         sure_null=False),
]

MADE = [
    Kind("domain_int", "whole", ("0", "-99")),
    Kind("domain_numeric", "price", ("1", "-12345678.90", "NaN"), sure_null=False),
    Kind("domain_of_domain", "fine_price", ("0", "1.50"), sure_null=False),
    Kind("domain_varchar", "code", ("", "é")),
    Kind("domain_timestamp", "moment", ("2024-02-29 13:14:15.123", "infinity")),
    Kind("domain_array", "numbers", _INT_ARRAYS),
    Kind("composite", "pair", ("(1,b)", "(,)", '(2,"")', '(3,"a ""b"", \\\\c")'),
         carried=IF_UNKNOWN, sure_null=False),
    Kind("nested_composite", "nested", ('("(1,x)","{a,NULL}",1.00)', "(,,)"), carried=IF_UNKNOWN,
         sure_null=False),
]

# Their elements' schema can hold the placeholder.
_FITTING = {"int4", "int8", "text", "varchar(30)", "char(3)", "json", "jsonb", "bytea", "uuid",
            "date"}


def _array(name, element, values, carried=ALWAYS, absent=NEVER):
    return Kind(name, f"{element}[]", values, carried=carried, sure_null=element in _FITTING,
                absent=absent)


ARRAYS = [
    _array("int4s", "int4", _INT_ARRAYS),
    _array("int8s", "int8", ("{}", "{9223372036854775807}", Doubtful("{{1,2}}"))),
    _array("int2s", "int2", ("{}", "{1,-2}")),
    _array("oids", "oid", ("{}", "{4294967295}")),
    _array("bools", "bool", ("{}", "{t,f}", Doubtful("{t,NULL}"))),
    _array("float4s", "float4", ("{}", "{0.1,NaN,-Infinity,-0}")),
    _array("float8s", "float8", ("{}", "{0.1,NaN,-Infinity,1e15}", Doubtful("{{1},{2}}"))),
    _array("decimals_s", "numeric", ("{}", "{1.00,1.0,1}")),
    _array("numeric_10_2s", "numeric(10,2)", ("{}", "{1,-2.50}")),
    _array("texts", "text", ("{}", '{""}', '{a,"NULL",null2}', '{"a,b","{x}","\\"","\\\\"}',
                             Doubtful("{a,NULL}"), f"{{{PLACEHOLDER}}}", '{é,😀," "}')),
    _array("varchars", "varchar(30)", ("{}", "{a,b}")),
    _array("chars", "char(3)", ("{}", "{a,abc}")),
    _array("citexts", "citext", ("{}", "{Mixed,mIXED}")),
    _array("enums", "mood", ("{}", '{happy,"so so"}', '{"it\'s \\"bad\\""}')),
    _array("byteas", "bytea", ("{}", '{"\\\\x00ff10"}')),
    _array("uuids", "uuid", ("{}", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}")),
    _array("jsons", "json", ("{}", '{"{\\"a\\": 1}"}')),
    _array("jsonbs", "jsonb", ("{}", '{"{\\"a\\": 1}","null"}')),
    _array("dates", "date", ("{}", "{2024-02-29,1969-12-31}", Doubtful("{infinity}"),
                             Doubtful('{"0044-03-15 BC"}'), "{9999-12-31}", "{10000-01-01}",
                             "{5874897-12-31}", "{1600-02-29}")),
    _array("times", "time", ("{}", "{13:14:15.123456}", "{24:00:00}"), NEVER),
    _array("time_3s", "time(3)", ("{13:14:15.123}", "{24:00:00}"), NEVER),
    _array("timestamps", "timestamp", (
        "{}", '{"2024-02-29 13:14:15.123456"}', '{"1969-12-31 23:59:59.999999"}',
        Doubtful("{infinity}"), '{"9999-12-31 23:59:59.999999"}', '{"10000-01-01 00:00:00"}',
        Doubtful(f'{{"{_LAST_STAMP}"}}'), '{"1600-02-29 00:00:00.000001"}')),
    _array("timestamp_3s", "timestamp(3)", ('{"2024-02-29 13:14:15.123"}', Doubtful("{infinity}"))),
    _array("timestamptzs", "timestamptz", (
        "{}", '{"2024-02-29 13:14:15.123456+05:30"}', Doubtful("{-infinity}"),
        '{"1969-12-31 23:59:59.999999+00"}', '{"9999-12-31 23:59:59.999999+00"}',
        '{"10000-01-01 00:00:00+00"}')),
    _array("inets", "inet", ("{}", "{1.2.3.4,::1}")),
    _array("cidrs", "cidr", ("{}", "{1.2.3.0/24}")),
    _array("macaddrs", "macaddr", ("{}", "{08:00:2b:01:02:03}")),
    _array("int4ranges", "int4range", ("{}", '{"[1,5)",empty}')),
    _array("tstzranges", "tstzrange", ("{}", '{"[2024-02-29 13:14:15+05:30,)"}')),
    _array("moneys", "money", ("{}", "{1.50}"), absent=ALWAYS),
    _array("names", "name", ("{}", "{a}"), absent=ALWAYS),
    _array("intervals", "interval", ("{}", '{"1 mon"}'), absent=ALWAYS),
    _array("varbits", "varbit", ("{}", "{101}"), absent=ALWAYS),
    Kind("bits", "bit(3)[]", ("{}", "{101}"), carried=NEVER, fails=True),
    _array("xmls", "xml", ("{}", "{<a/>}"), absent=ALWAYS),
    _array("points", "point", ("{}", '{"(1,2)"}'), absent=ALWAYS),
    _array("timetzs", "timetz", ("{}", "{13:14:15+05:30}"), NEVER),
    _array("hstores", "hstore", ("{}", '{"a=>1"}'), NEVER),
    _array("ltrees", "ltree", ("{}", "{a.b,c}"), NEVER),
    _array("pg_lsns", "pg_lsn", ("{}", "{16/B374D848}"), NEVER, UNLESS_UNKNOWN),
    _array("pairs", "pair", ("{}", '{"(1,b)"}'), NEVER, UNLESS_UNKNOWN),
    _array("prices", "price", ("{}", "{1.50}"), NEVER, UNLESS_UNKNOWN),
    Kind("bounds", "int4[]", ("{}", "{1,2}", "[0:1]={1,2}", "[-1:0][5:5]={{1},{2}}"),
         carried=NEVER, rule={"columns": {"array_bounds": {"v": "reread"}}}),
]

KINDS = [*NUMBERS, *TEXTS, *TIMES, *BYTES, *SHAPES, *RANGES, *MADE, *ARRAYS]
