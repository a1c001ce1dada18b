-- What (b) needs beside Kamailio's own tables (standard, auth_db, lcr, acc): a chain of four accounts, and what a
-- record says of the call. Placeholders of the benchmark: the subscribers, the carrier.
create table account (
  id             integer primary key,
  parent_id      integer references account,
  name           text not null,
  balance_micros bigint not null,
  credit_micros  bigint not null default 0
);
create index account_parent on account (parent_id);

insert into account(id, parent_id, name, balance_micros)
values (4, null, 'level 4', 1e15), (3, 4, 'level 3', 1e15), (2, 3, 'level 2', 1e15), (1, 2, 'level 1', 1e15);

alter table subscriber add account_id integer references account;
alter table acc_cdrs add callid varchar(255), add caller varchar(64), add callee varchar(64), add account_id varchar(16);
create index acc_cdrs_callid on acc_cdrs (callid text_pattern_ops);

insert into subscriber(username, domain, ha1, account_id)
select 'u' || n, :domain, md5('u' || n || ':' || :domain || ':' || :password), 1 from generate_series(1, :subscribers) n;

insert into lcr_gw(lcr_id, gw_name, ip_addr, port, uri_scheme, transport) values (1, 'carrier', :host, :port, 1, 1);
insert into lcr_rule(lcr_id, prefix) values (1, :prefix);
insert into lcr_rule_target(lcr_id, rule_id, gw_id, priority) select 1, r.id, g.id, 1 from lcr_rule r, lcr_gw g;
analyze;
