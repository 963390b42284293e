#!/usr/bin/env python3
"""Writes debezium/truth.tsv: what the rows behind the captures are in PostgreSQL's binary form.

usage: make_debezium_truth.py SCHEMA_SQL WORK_SQL RISKY_COPY DSN > debezium/truth.tsv

The captures were made by running WORK_SQL on SCHEMA_SQL's tables (and inserting RISKY_COPY's rows,
for the last captures).  This runs all on an empty
PostgreSQL 15 database (max_prepared_transactions > 0) and keeps every version of every row by
triggers, so that each event has its truth, not only the last one.

Tab-separated: `table` schema name identity key...; `column` and its specification; `row` and one cell
per column: hex of the send() bytes (of the text, on the text plane), or - for NULL.
"""
import io
import struct
import subprocess
import sys

import psycopg2

KINDS = {
    'bool': 'Bool', 'int2': 'Int2', 'int4': 'Int4', 'int8': 'Int8', 'oid': 'Oid', 'float4': 'Float4',
    'float8': 'Float8', 'numeric': 'Numeric', 'money': 'Money', 'text': 'Text', 'varchar': 'Varchar',
    'bpchar': 'Bpchar', 'name': 'Name', 'char': 'InternalChar', 'citext': 'Citext', 'bytea': 'Bytea',
    'uuid': 'Uuid', 'json': 'Json', 'jsonb': 'Jsonb', 'date': 'Date', 'time': 'Time',
    'timetz': 'TimeTz', 'timestamp': 'Timestamp', 'timestamptz': 'TimestampTz',
    'interval': 'Interval', 'bit': 'Bit', 'varbit': 'VarBit', 'inet': 'Inet', 'cidr': 'Cidr',
    'macaddr': 'MacAddr', 'macaddr8': 'MacAddr8', 'pg_lsn': 'PgLsn', 'xid8': 'Xid8',
    'point': 'Point', 'hstore': 'Hstore', 'ltree': 'Ltree'}
TABLES = [('public', t) for t in ('all_types', 'risky', 'negscale', 'keyed', 'toast_d', 'toast_f',
                                  'comp', 'uidx', 'tx_a', 'tx_b', 'trunc_a', 'trunc_b', 'part',
                                  'inc', 'alt')]
TABLES.append(('Weird Schema', 'Täble ☃ Mixed'))
TYPE = '''SELECT t.typname, t.typtype, t.typcategory, t.typbasetype, t.typtypmod, t.typelem,
                 (SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid)
          FROM pg_type t WHERE t.oid = %s'''
COLUMNS = '''SELECT attname, atttypid, atttypmod, attnotnull, attstorage <> 'p', attgenerated <> '',
                    atthasdef AND attgenerated = ''
             FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
             ORDER BY attnum'''
KEY = '''SELECT attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, position)
         JOIN pg_attribute a ON true WHERE i.indrelid = %s AND a.attrelid = i.indrelid
         AND a.attnum = k.attnum AND i.indisunique ORDER BY position'''


def quote(name):
    return '"' + name.replace('"', '""') + '"'


def describe(cursor, oid, typmod):
    """-> kind, oid, base oid, typmod, inner (a description or None)"""
    cursor.execute(TYPE, (oid,))
    name, typtype, category, base, base_typmod, element, subtype = cursor.fetchone()
    if typtype == 'd':
        kind, _, base_oid, inner_typmod, inner = describe(cursor, base, base_typmod)
        return kind, oid, base_oid, inner_typmod, inner
    if typtype == 'e':
        return 'Enum', oid, oid, typmod, None
    if typtype == 'r':
        return 'Range', oid, oid, typmod, describe(cursor, subtype, -1)
    if category == 'A' and name.startswith('_'):
        return 'Array', oid, oid, typmod, describe(cursor, element, -1)
    return KINDS.get(name, 'Other'), oid, oid, typmod, None


def plane(kind, oid, inner):
    if kind == 'Other' or (kind == 'Range' and oid >= 16384):
        return 'text'
    if kind == 'Array' and (inner[1] >= 16384 or inner[0] == 'Other'):
        return 'text'
    return 'binary'


def binary_rows(cursor, query):
    out = io.BytesIO()
    cursor.copy_expert('COPY (' + query + ') TO STDOUT (FORMAT binary)', out)
    data, at = out.getvalue(), 19
    while True:
        (count,) = struct.unpack_from('>h', data, at)
        at += 2
        if count < 0:
            return
        cells = []
        for _ in range(count):
            (size,) = struct.unpack_from('>i', data, at)
            at += 4
            cells.append('-' if size < 0 else data[at:at + size].hex())
            at += max(size, 0)
        yield cells


def keep_history(cursor, schema, table):
    name = quote(schema) + '.' + quote(table)
    history = quote('history of ' + table)
    cursor.execute(f'CREATE TABLE {history} (LIKE {name}, "history order" bigserial)')
    cursor.execute(f'''CREATE FUNCTION {quote('keep ' + table)}() RETURNS trigger AS $$
        BEGIN INSERT INTO {history} SELECT NEW.*; RETURN NULL; END $$ LANGUAGE plpgsql''')
    cursor.execute(f'''CREATE TRIGGER keep AFTER INSERT OR UPDATE ON {name}
        FOR EACH ROW EXECUTE FUNCTION {quote('keep ' + table)}()''')


def dump(cursor, schema, table):
    cursor.execute('SELECT oid, relreplident FROM pg_class WHERE relname = %s AND relnamespace ='
                   ' (SELECT oid FROM pg_namespace WHERE nspname = %s)', (table, schema))
    oid, identity = cursor.fetchone()
    cursor.execute(KEY, (oid,))
    key = [name for (name,) in cursor.fetchall()]
    print('table', schema, table, identity, *key, sep='\t')
    cursor.execute(COLUMNS, (oid,))
    selected = []
    for name, type_oid, typmod, not_null, toastable, generated, default in cursor.fetchall():
        kind, own, base, kind_typmod, inner = describe(cursor, type_oid, typmod)
        inner = inner or ('-', 0, 0, -1, None)
        print('column', name, kind, own, base, kind_typmod, int(not_null), int(toastable),
              int(generated), plane(kind, base, inner), inner[0], inner[1], inner[2], int(default),
              (inner[4] or '-')[0], sep='\t')
        if not generated:
            selected.append(quote(name) + ('::text' if plane(kind, base, inner) == 'text' else ''))
    query = 'SELECT ' + ', '.join(selected) + ' FROM ' + quote('history of ' + table)
    if table == 'alt':
        return  # Its columns changed on the way: its events show drift, not values.
    for cells in binary_rows(cursor, query + ' ORDER BY "history order"'):
        print('row', *cells, sep='\t')


def main():
    schema_sql, work_sql, risky_copy, dsn = sys.argv[1:]
    psql = ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', dsn]
    subprocess.run(psql + ['-f', schema_sql], check=True)
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    for schema, table in TABLES:
        if table != 'alt':
            keep_history(cursor, schema, table)
    subprocess.run(psql + ['-f', work_sql], check=True, stdout=subprocess.DEVNULL)
    with open(risky_copy, encoding='utf-8') as rows:
        cursor.copy_expert('COPY risky FROM STDIN', rows)
    cursor.execute("SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'")
    for schema, table in TABLES:
        dump(cursor, schema, table)


if __name__ == '__main__':
    main()
