-- The table that the benchmarks move: ten mixed columns, about 210 bytes a row.
CREATE TABLE bench (
  id bigint NOT NULL,
  ver int NOT NULL,
  customer bigint NOT NULL,
  price numeric(12, 2) NOT NULL,
  rate double precision,
  active boolean NOT NULL,
  created timestamptz NOT NULL,
  code varchar(20) NOT NULL,
  title text NOT NULL,
  note text
);
INSERT INTO bench
SELECT g, 0, g::bigint * 7919 % 100000, (g % 100000) / 100.0, g / 7.0, g % 2 = 0,
       timestamptz '2024-01-01 00:00:00+00' + g * interval '1 s', 'code-' || g % 1000,
       'A title of some length for row ' || g, repeat(md5(g::text), 3)
  FROM generate_series(1, :rows) g;
ALTER TABLE bench ADD PRIMARY KEY (id);
VACUUM (ANALYZE) bench;
