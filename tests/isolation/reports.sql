-- Sixty days with 2,000 calls each, over the tree of tests/report_world.py, for plans of reports: of ten calls seven are Delta's,
-- one is Alpha's, one Gamma's, one Delta's to Alpha. Triggers are off: a table of this size in seconds.
set local session_replication_role = replica;

create temporary table made on commit drop as
select n, 'rid-' || n as rid, timestamptz '2026-01-01 00:00 UTC' + n * interval '1 day' / 2000 as ended_at,
       case n % 10 when 0 then 'Alpha' when 1 then 'Gamma' else 'Delta' end as caller, n % 10 = 2 as to_alpha
  from generate_series(0, 119999) as n;

insert into tandem.cdr(rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id, caller, callee, outcome, sip_status,
                       talk_ms, billed_s, server_id, group_id, created_at)
select m.rid, m.rid || '@pbx.example', 'n1', m.ended_at - interval '70 s', m.ended_at - interval '60 s', m.ended_at,
       case when m.to_alpha then 'internal' else 'out' end, 'line@a.example', a.id, '442079460001', '442079460999', 'answered', 200, 60000, 60,
       case when m.to_alpha then 0 else s.id end, case when m.to_alpha then 0 else s.group_id end, m.ended_at
  from made m join tandem.account a on a.name = m.caller
  join tandem.peering_server s on s.group_id = (select g.id from tandem.peering_group g where g.name = 'acme')
 order by m.n;

insert into tandem.cdr_attempt(rid, n, server_id, asked_at, ended_at, status, pdd_ms)
select c.rid, 1, c.server_id, c.started_at, c.answered_at, 200, 900 from tandem.cdr c where c.server_id <> 0 order by c.ended_at;

-- Each level above the caller pays the next one; above the root stand the levels of the called number.
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, prefix, book, created_at, fund_currency, charged_micros)
select m.rid, l.level, payer.id, payee.id, 'EUR', 1000, '44', 'fund', m.ended_at + interval '1 s', 'EUR', 1000
  from made m
  join (values ('Alpha', 1, 'Alpha', 'North'), ('Alpha', 2, 'North', 'Tandem'), ('Gamma', 1, 'Gamma', 'Fjord'), ('Gamma', 2, 'Fjord', 'North'),
               ('Gamma', 3, 'North', 'Tandem'), ('Delta', 1, 'Delta', 'South'), ('Delta', 2, 'South', 'Tandem'),
               ('called', 3, 'Alpha', 'North'), ('called', 4, 'North', 'Tandem'))
         as l(whose, level, payer, payee) on l.whose = m.caller or l.whose = 'called' and m.to_alpha
  join tandem.account payer on payer.name = l.payer
  join tandem.account payee on payee.name = l.payee
 order by m.n;
