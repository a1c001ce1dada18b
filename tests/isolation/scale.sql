-- A hundred thousand accounts, for plans and times: the root, 1,000 resellers (2 … 1001), of which reseller 2 has 900 dealers that
-- share their customers, and customers below all of them. Ids are said, triggers are off: a world of this size in seconds.
set local session_replication_role = replica;

create temporary table member on commit drop as
select n as id,
       case when n = 1 then null when n <= 101 then 1 when n <= 1001 then 2 else 2 + n % 1000 end as parent_id,
       case when n = 1 then 'root' when n <= 1001 then 'reseller' else 'customer' end as kind
  from generate_series(1, 100000) as n;

insert into tandem.tariff(id, account_id, name, currency) overriding system value
select id, id, 'retail', 'EUR' from member where kind <> 'customer';
insert into tandem.rate_set(id, tariff_id, version, state) overriding system value select id, id, 1, 'ready' from member where kind <> 'customer';
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s) select id, 0, 10000, 1, 1 from tandem.rate_set;
insert into tandem.rate(rate_set_id, prefix, class_idx) select s.id, p, 0 from tandem.rate_set s, unnest(array['44', '447', '49', '33', '1']) as p;
update tandem.tariff set rate_set_id = id;
insert into tandem.account(id, parent_id, kind, name, tariff_id, currency, share_children, contact_id) overriding system value
select id, parent_id, kind, 'Account ' || id, parent_id, 'EUR', kind = 'reseller', id from member;
insert into tandem.visibility(viewer_id, account_id) select id, id from member where kind <> 'root'
union select parent_id, id from member where parent_id > 1
union select 2, m.id from member m join member p on p.id = m.parent_id where p.parent_id = 2;
-- A tenth of what they see came to be seen by a move.
update tandem.visibility set since = now() - interval '1 day' where viewer_id <> account_id and account_id % 10 = 9;
insert into tandem.account_grant(account_id, right_name, parent_id)
select m.id, r, nullif(m.parent_id, 1) from member m, unnest(array['accounts', 'prices', 'money', 'domains', 'numbers', 'routing']) as r
 where m.kind = 'reseller';
insert into tandem.contact(id, account_id, email) overriding system value select id, id, 'a' || id || '@mail.example' from member;
insert into tandem.fund(account_id, currency) select id, 'EUR' from member where kind <> 'root';
insert into tandem.fund_credit(account_id, currency) select account_id, currency from tandem.fund;
insert into tandem.fund_charge(account_id, currency) select account_id, currency from tandem.fund;
insert into tandem.fund_calendar(account_id, currency, first_day) select account_id, currency, current_date from tandem.fund;
insert into tandem.sip_domain(id, account_id, name) overriding system value select id, id, 'd' || id || '.example' from member where kind <> 'customer';
insert into tandem.rewrite_set(id, account_id, name) overriding system value select id, id, 'rewriting' from member where kind <> 'customer';
insert into tandem.barring_level(id, account_id, name, mode) overriding system value select id, id, 'strict', 'blacklist' from member where kind <> 'customer';
insert into tandem.subscriber(id, account_id, sip_domain_id, username, ha1_md5, rewrite_set_id, barring_id) overriding system value
select id, id, parent_id, 'u' || id, md5(id::text), parent_id, parent_id from member where kind = 'customer';
insert into tandem.number(account_id, e164, subscriber_id) select account_id, (442000000000 + id)::text, id from tandem.subscriber;
insert into tandem.trusted_source(subscriber_id, network)
select id, ('10.' || id / 65536 || '.' || id / 256 % 256 || '.' || id % 256)::cidr from tandem.subscriber where id % 20 = 0;
insert into tandem.threshold(account_id, currency, kind, amount_micros) select account_id, currency, 'balance', 1000000 from tandem.fund where account_id % 10 = 0;
insert into tandem.alert(threshold_id, account_id, currency, kind, amount_micros, value_micros, at)
select id, account_id + 9, currency, kind, amount_micros, 0, now() from tandem.threshold where account_id < 99990;
insert into tandem.fund_window(account_id, currency, kind, window_id, spent_micros) select account_id, currency, 'day', 20261101, 1 from tandem.fund;
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
select gen_random_uuid(), gen_random_uuid(), account_id, 'fund', currency, 1, 'pg' from tandem.fund where account_id % 10 = 9;
insert into tandem.audit(actor, acting_account_id, account_id, table_name, key, action) select 'scale', parent_id, id, 'account', id::text, 'insert' from member;

-- What identity columns count on from: the ids above were said.
select setval(pg_get_serial_sequence('tandem.' || t, 'id'), 200000)
  from unnest(array['account', 'contact', 'tariff', 'rate_set', 'sip_domain', 'rewrite_set', 'barring_level', 'subscriber']) as t;
