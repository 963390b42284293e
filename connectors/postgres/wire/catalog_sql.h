// What wire/catalog asks the system catalogs.  Every query knows pg_catalog only: the session's
// search_path is ''.
#pragma once

namespace lockstep {

// The tables asked for, and their estimates.  row_security_active() knows owners, FORCE, BYPASSRLS.
inline constexpr const char* kRelations = R"(
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),
       CASE WHEN row_security_active(c.oid) THEN current_user ELSE '' END,
       c.oid IN (SELECT f.confrelid FROM pg_constraint f WHERE f.contype = 'f'
                 AND coalesce(pg_partition_root(f.conrelid), f.conrelid)
                  <> coalesce(pg_partition_root(f.confrelid), f.confrelid)),
       rn.nspname, r.relname
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
LEFT JOIN pg_class r ON r.oid = pg_partition_root(c.oid) AND c.relispartition
LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY w.place)";

// The tables of $1 and all below them in partition trees.  pg_partition_tree() would lock them.
inline constexpr const char* kTree = R"(
WITH RECURSIVE tree(root, oid) AS (
  SELECT oid, oid FROM unnest($1::oid[]) oid
  UNION
  SELECT t.root, i.inhrelid FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p'
  JOIN pg_inherits i ON i.inhparent = t.oid
) )";

// One row per table that holds rows: the table itself, or each leaf of a root.
inline constexpr const char* kLeaves = R"(
, leaf AS (
  SELECT t.root, c.oid, n.nspname, c.relname, c.reltuples, pg_stat_get_live_tuples(c.oid) live,
         (c.relpages + coalesce(d.relpages, 0))::float8 * current_setting('block_size')::int bytes
  FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class d ON d.oid = c.reltoastrelid
  WHERE c.relkind IN ('r', 'f', 'm'))
SELECT root, nspname, relname, oid <> root,
       greatest(reltuples, live, 0)::float8, reltuples::float8,
       CASE WHEN bytes > 0 THEN bytes ELSE coalesce(pg_table_size(oid), 0) END
FROM leaf ORDER BY root, nspname, relname)";

// What makes values with different text equal, by the collation `l`: how it is defined, since its
// name tells nothing, and the version of the library that carries it out.  to_jsonb: the columns
// are not the same in all versions.
inline constexpr const char* kFolding = R"(
       CASE WHEN l.collisdeterministic IS FALSE THEN concat_ws(' ', 'nondeterministic collation',
         coalesce(to_jsonb(l)->>'colllocale', to_jsonb(l)->>'colliculocale',
                  to_jsonb(l)->>'collcollate'), to_jsonb(l)->>'collicurules',
         '(' || l.collprovider::text || ')',
         'version ' || pg_collation_actual_version(l.oid)) ELSE '' END)";

// By what the collation `l` orders texts; NULL: as the database does.  Locales of bytes have no
// version, since their order stays.
inline constexpr const char* kOrder = R"(
       CASE WHEN l.collname = 'default' THEN NULL
       WHEN l.collprovider = 'b' OR l.collprovider = 'c' AND l.collcollate ~ '^(C|POSIX)(\.|$)'
       THEN 'C' ELSE concat_ws(' ',
         coalesce(to_jsonb(l)->>'colllocale', to_jsonb(l)->>'colliculocale',
                  to_jsonb(l)->>'collcollate'), to_jsonb(l)->>'collicurules',
         '(' || l.collprovider::text || ', version '
         || coalesce(pg_collation_actual_version(l.oid), 'unknown') || ')') END)";

// {}: kFolding, kOrder.  An expression's nodes name everything by number.
inline constexpr const char* kColumns = R"(
SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '', a.atthasdef,
       a.attstorage <> 'p', a.attidentity,
       CASE WHEN a.attcollation = 0 THEN '' WHEN l.collname = 'default' THEN '' ELSE l.collname END,
       a.attcollation <> 0, coalesce(l.collisdeterministic, true), {},
       coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
       coalesce(hashtextextended(d.adbin::text, 0)::text, ''), {},
       CASE WHEN l.collversion <> pg_collation_actual_version(l.oid)
            THEN 'collation ' || l.oid::regcollation::text ELSE '' END
FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum)";

// The types of those columns and everything they are made of.  typarray tells a true array from
// int2vector and from types that can merely be subscripted.  A multirange (PostgreSQL 14) is bound
// by its range.
inline constexpr const char* kUsedTypes = R"(
WITH RECURSIVE multirange(oid, range) AS MATERIALIZED (
  SELECT m.oid, r.rngtypid FROM pg_range r
  JOIN pg_type m ON m.oid = (to_jsonb(r)->>'rngmultitypid')::oid
), used(oid) AS (
  SELECT a.atttypid FROM pg_attribute a
  WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT x.oid FROM used u JOIN pg_type t ON t.oid = u.oid
  LEFT JOIN pg_range r ON r.rngtypid = t.oid
  LEFT JOIN multirange m ON m.oid = t.oid
  LEFT JOIN pg_attribute a ON t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0
  CROSS JOIN LATERAL (
    VALUES (t.typbasetype), (t.typelem), (r.rngsubtype), (m.range), (a.atttypid)) x(oid)
  WHERE x.oid <> 0
)
)";

// {}: kFolding.
inline constexpr const char* kTypes = R"(
SELECT t.oid, format_type(t.oid, NULL), n.nspname, t.typname, t.typtype,
       t.typsend::oid <> 0 AND t.typreceive::oid <> 0, t.typbasetype, t.typtypmod,
       CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE '' END,
       coalesce(e.oid, 0), coalesce(r.rngsubtype, m.range, 0), coalesce(x.extname, ''), {},
       t.typtype = 'd' AND t.typdefault IS NOT NULL
FROM used u JOIN pg_type t ON t.oid = u.oid JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
LEFT JOIN pg_range r ON r.rngtypid = t.oid
LEFT JOIN multirange m ON m.oid = t.oid
LEFT JOIN pg_collation l ON l.oid = r.rngcollation
LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.objsubid = 0
  AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
LEFT JOIN pg_extension x ON x.oid = d.refobjid)";

// {}: kFolding.
inline constexpr const char* kAttributes = R"(
SELECT t.oid, a.attnum, a.attname, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod),
       {}
FROM used u JOIN pg_type t ON t.oid = u.oid AND t.typtype = 'c'
JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation l ON l.oid = a.attcollation
ORDER BY t.oid, a.attnum)";

// What domains ask of their values.
inline constexpr const char* kDomainChecks = R"(
SELECT t.oid, format_type(t.oid, NULL), k.conname, pg_get_constraintdef(k.oid)
FROM used u JOIN pg_type t ON t.oid = u.oid
JOIN pg_constraint k ON k.contypid = t.oid AND k.contype = 'c'
UNION ALL
SELECT t.oid, format_type(t.oid, NULL), '', 'NOT NULL'
FROM used u JOIN pg_type t ON t.oid = u.oid WHERE t.typtype = 'd' AND t.typnotnull
ORDER BY 1, 3)";

inline constexpr const char* kLabels = R"(
SELECT e.enumtypid, e.oid, e.enumlabel FROM used u JOIN pg_enum e ON e.enumtypid = u.oid
ORDER BY e.enumtypid, e.enumsortorder)";

// Unique and exclusion indexes of the table, and those of its partitions that no index above
// stands for.  indisready, not indisvalid, is what makes an index enforce.  One that is unique and
// excludes (WITHOUT OVERLAPS, from PostgreSQL 18 on) takes overlapping values for equal.
inline constexpr const char* kIndexes = R"(
SELECT t.root, c.relname, array_to_string(i.indkey[0:i.indnkeyatts - 1], ' '),
       i.indisprimary AND NOT i.indisexclusion, i.indisunique AND NOT i.indisexclusion,
       i.indimmediate, i.indisvalid, i.indisreplident,
       i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (
         SELECT FROM generate_series(0, i.indnkeyatts - 1) k
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
         JOIN pg_opclass o ON o.oid = i.indclass[k]
         WHERE a.attcollation <> i.indcollation[k]
         OR NOT o.opcdefault AND o.opcname NOT LIKE '%\_pattern\_ops'),
       t.root = t.oid,
       coalesce(k.oid, i.indexrelid), i.indexrelid::regclass::text,
       coalesce(pg_get_expr(i.indexprs, i.indrelid), '')
       || CASE WHEN k.contype = 'x' THEN pg_get_constraintdef(k.oid) ELSE '' END
       || coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), ''),
       (SELECT string_agg(a.attname, chr(10)) FROM generate_series(0, i.indnkeyatts - 1) n(at)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n.at])
FROM tree t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conrelid = i.indrelid AND k.conindid = i.indexrelid
  AND k.contype IN ('p', 'u', 'x')
WHERE (i.indisunique OR i.indisexclusion) AND (i.indisready OR c.relkind = 'I')
  AND (t.root = t.oid OR NOT EXISTS (SELECT FROM pg_inherits p WHERE p.inhrelid = i.indexrelid))
ORDER BY t.root, c.relname)";

// How the old rows of the table and of each leaf are named: the columns of the identity, by the
// number that they have in the table.  `usable` is what PostgreSQL asks of a published table before
// UPDATE and DELETE; from 18 on a generated column must not be part of it.  The last column but one
// is RowIdentity::naming.  An index that is as it was made, which its attributes are the witnesses
// of, has never been an identity; one that is the primary key always names rows by the key.
inline constexpr const char* kIdentities = R"(
SELECT t.root, n.nspname, c.relname, c.relreplident, c.relkind <> 'p',
       (c.relreplident = 'f' OR i.indexrelid IS NOT NULL)
       AND (current_setting('server_version_num')::int < 180000 OR NOT EXISTS (
         SELECT FROM pg_attribute g WHERE g.attrelid = c.oid AND g.attgenerated <> ''
         AND NOT g.attisdropped AND (c.relreplident = 'f' OR g.attnum = ANY (i.indkey)))),
       coalesce((SELECT string_agg(r.attnum::text, ' ') FROM pg_attribute a
        JOIN pg_attribute r ON r.attrelid = t.root AND r.attname = a.attname
        WHERE a.attrelid = c.oid AND NOT a.attisdropped
        AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])), ''),
       c.oid, concat_ws(' ', c.xmin, CASE c.relreplident WHEN 'i' THEN i.indexrelid ELSE 0 END,
        (SELECT string_agg(u.indexrelid || ':' || u.xmin, ' ' ORDER BY u.indexrelid)
         FROM pg_index u WHERE u.indrelid = c.oid AND u.indisunique AND u.indimmediate
         AND NOT u.indisprimary AND u.indpred IS NULL AND u.indexprs IS NULL
         AND NOT EXISTS (SELECT FROM pg_attribute m WHERE m.attrelid = u.indexrelid
                         AND m.attnum = 1 AND m.xmin = u.xmin AND m.cmin = u.cmin))),
       c.relpersistence = 'u'
FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL
  AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END
WHERE c.relkind = 'r' OR c.oid = t.root AND c.relkind = 'p'
ORDER BY t.root, c.oid <> t.root, n.nspname, c.relname)";

// Behind kUsedTypes.  Catalog rows are replaced when they are changed, and then have another xmin.
// What acts on rows counts wherever it is in a partition tree.
inline constexpr const char* kVersions = R"(
, made_of AS MATERIALIZED (
  SELECT string_agg(m.v, ',' ORDER BY m.v) AS v FROM (
    SELECT e.oid || ':' || e.xmin FROM used u JOIN pg_enum e ON e.enumtypid = u.oid
    UNION ALL
    SELECT a.attrelid || '.' || a.attnum || ':' || a.xmin
    FROM used u JOIN pg_type t ON t.oid = u.oid AND t.typtype = 'c'
    JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
    UNION ALL
    SELECT t.oid || '=' || t.xmin FROM used u JOIN pg_type t ON t.oid = u.oid AND t.typtype = 'd'
    UNION ALL
    SELECT k.oid || '=' || k.xmin FROM used u JOIN pg_constraint k ON k.contypid = u.oid) m(v)
), tree(root, oid) AS (
  SELECT oid, oid FROM unnest($1::oid[]) oid
  UNION
  SELECT t.root, i.inhrelid FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p'
  JOIN pg_inherits i ON i.inhparent = t.oid
), acting AS MATERIALIZED (
  SELECT m.root, string_agg(m.v, ',' ORDER BY m.v) AS v FROM (
    SELECT t.root, c.oid || ':' || c.xmin
    FROM tree t JOIN pg_class c ON c.oid = t.oid
    UNION ALL
    SELECT t.root, i.indexrelid || ':' || i.xmin FROM tree t JOIN pg_index i ON i.indrelid = t.oid
    WHERE i.indisunique OR i.indisexclusion
    UNION ALL
    SELECT t.root, g.oid || ':' || g.xmin FROM tree t JOIN pg_trigger g ON g.tgrelid = t.oid
    WHERE NOT g.tgisinternal
    UNION ALL
    SELECT t.root, r.oid || ':' || r.xmin FROM tree t JOIN pg_rewrite r ON r.ev_class = t.oid
    UNION ALL
    SELECT t.root, k.oid || ':' || k.xmin FROM tree t
    JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'c') m(root, v)
  GROUP BY m.root
)
SELECT w.oid, hashtextextended(
  (SELECT string_agg(a.attnum || ':' || a.xmin, ',' ORDER BY a.attnum) FROM pg_attribute a
   WHERE a.attrelid = w.oid AND a.attnum > 0)
  || coalesce(g.v, '') || coalesce(h.inhparent || ':' || h.xmin, '')
  || coalesce((SELECT v FROM made_of), ''), 0) & 9223372036854775807 AS version
FROM unnest($1::oid[]) w(oid) JOIN pg_class c ON c.oid = w.oid
LEFT JOIN acting g ON g.root = w.oid
LEFT JOIN pg_inherits h ON h.inhrelid = w.oid AND c.relispartition)";

// What else acts on a write: deferrable unique and exclusion constraints, triggers and rules that
// fire under session_replication_role = replica, and checks.
inline constexpr const char* kActors = R"(
SELECT t.root, 'constraint', c.conname, '' FROM tree t JOIN pg_constraint c ON c.conrelid = t.oid
WHERE c.condeferrable AND c.contype IN ('u', 'x') AND (t.root = t.oid OR c.conparentid = 0)
UNION SELECT t.root, 'check', k.conname, pg_get_constraintdef(k.oid) FROM tree t
JOIN pg_constraint k ON k.conrelid = t.oid
WHERE k.contype = 'c' AND (t.root = t.oid OR k.coninhcount = 0)
UNION SELECT t.root, 'trigger', g.tgname, '' FROM tree t JOIN pg_trigger g ON g.tgrelid = t.oid
WHERE NOT g.tgisinternal AND g.tgenabled IN ('A', 'R')
UNION SELECT t.root, 'trigger', r.rulename, '' FROM tree t JOIN pg_rewrite r ON r.ev_class = t.oid
WHERE r.rulename <> '_RETURN' AND r.ev_enabled IN ('A', 'R')
ORDER BY 1, 2, 3)";

// to_jsonb: the columns are not the same in all versions.  The last is what kOrder is of columns.
// Which version of the C library there is any collation of the same locale tells, of all servers.
inline constexpr const char* kLocale = R"(
SELECT d.datcollate, d.datctype,
       CASE WHEN j->>'datlocprovider' IN ('i', 'b')
            THEN coalesce(j->>'datlocale', j->>'daticulocale')
                 || coalesce(' version ' || (j->>'datcollversion'), '') ELSE '' END,
       CASE WHEN j->>'datlocprovider' = 'b' THEN 'C'
       WHEN j->>'datlocprovider' = 'i' THEN concat_ws(' ',
         coalesce(j->>'datlocale', j->>'daticulocale'), j->>'daticurules',
         '(i, version ' || coalesce(j->>'datcollversion', 'unknown') || ')')
       WHEN d.datcollate ~ '^(C|POSIX)(\.|$)' THEN 'C'
       ELSE d.datcollate || ' (c, version ' || coalesce((
         SELECT max(pg_collation_actual_version(l.oid)) FROM pg_collation l
         WHERE l.collprovider = 'c' AND lower(replace(l.collcollate, '-', ''))
           = lower(replace(d.datcollate, '-', ''))), 'unknown') || ')' END
FROM pg_database d CROSS JOIN LATERAL to_jsonb(d) j WHERE d.datname = current_database())";

// From PostgreSQL 15 on; before, nobody knows.
inline constexpr const char* kOutdatedLocale = R"(
SELECT coalesce(datcollversion <> pg_database_collation_actual_version(oid), false)
FROM pg_database WHERE datname = current_database())";

inline constexpr const char* kUserTables = R"(
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
ORDER BY n.nspname, c.relname)";

}  // namespace lockstep
