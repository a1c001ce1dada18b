-- Statements that must be refused in the demo world, and why: each block is the expected part of the error message,
-- as a comment, and one statement. Ids are those of sql/seed/demo.sql: Tandem 1, North 2, South 3, Fjord 4, Alpha 5 …

-- ## Accounts, contacts, funds

-- there_is_one_root
insert into tandem.account(kind, name, currency) values ('root', 'Second', 'EUR');

-- account 'Free' has no tariff: nobody could be billed for its calls
insert into tandem.account(kind, name, parent_id, currency)
select 'customer', 'Free', id, 'EUR'
from tandem.account where name = 'North';

-- account 'X': tariff 8 is no tariff of its parent 2 'North'
insert into tandem.account(kind, name, parent_id, currency, tariff_id)
select 'customer', 'X', world.account_id('North'), 'EUR', tariff_id
from tandem.account where name = 'Gamma';

-- account 'X' pays in USD, but tariff 6 is in EUR and there is no exchange rate of EUR in USD
insert into tandem.account(kind, name, parent_id, currency, tariff_id)
select 'customer', 'X', parent_id, 'USD', tariff_id
from tandem.account where name = 'Alpha';

-- its parent 5 'Alpha' is a customer; only the root and resellers have accounts below them
insert into tandem.account(kind, name, parent_id, currency, tariff_id)
select 'customer', 'X', id, 'EUR', tariff_id
from tandem.account where name = 'Alpha';

-- account 'X': its parent 999 does not exist
insert into tandem.account(kind, name, parent_id, currency, tariff_id)
select 'customer', 'X', 999, 'EUR', tariff_id
from tandem.account where name = 'Alpha';

-- account_name_is_unique_below_its_parent
insert into tandem.account(kind, name, parent_id, currency, tariff_id)
select kind, name, parent_id, currency, tariff_id
from tandem.account where name = 'Alpha';

-- has accounts below it and cannot be a customer
update tandem.account set kind = 'customer' where name = 'North';

-- no account becomes or ceases to be the root
update tandem.account set kind = 'root' where name = 'Alpha';

-- tariff 4 is no tariff of its parent
update tandem.account set parent_id = id where name = 'North';

-- account 2 'North' cannot stand below itself
update tandem.account set parent_id = world.account_id('Fjord'), tariff_id = 7 where name = 'North';

-- has no tariff
update tandem.account set tariff_id = null where name = 'Alpha';

-- account 'Alpha' pays in USD, but tariff 6 is in EUR and there is no exchange rate of EUR in USD
update tandem.account set currency = 'USD' where name = 'Alpha';

-- there is no exchange rate of EUR in USD
select world.exchange('USD', 'EUR', 1.1), world.exchange('EUR', 'USD', 0.9, now() + interval '1 hour');
update tandem.account set currency = 'USD' where name = 'Alpha';

-- account 'Alpha': there is no currency 'XXX'
update tandem.account set currency = 'XXX' where name = 'Alpha';

-- account 8 'Delta' has entries in the ledger and cannot be deleted; close it
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 8, 'cash', 'EUR', 0, 'pg');
delete from tandem.subscriber where account_id = 8;
delete from tandem.account where id = 8;

-- account 8 'Delta' may have calls that are not posted yet and cannot be deleted; close it, and wait 30 days
delete from tandem.subscriber where account_id = 8;
delete from tandem.account where id = 8;

-- account 8 'Delta' may have calls that are not posted yet and cannot be deleted; close it, and wait 30 days
delete from tandem.subscriber where account_id = 8;
update tandem.account set status = 'closed', closed_at = now() - interval '29 days' where id = 8;
delete from tandem.account where id = 8;

-- lock_is_known
update tandem.account set lock = 'some';

-- lock_is_known
select world.subscriber_option('alice@a.example', 'lock', 'some');

-- account 5 'Alpha': a lock is lowered by a person, through tandem.lock_v1, which says who and why
select world.lock('Alpha', 'outgoing');
update tandem.account set lock = 'foreign' where name = 'Alpha';

-- account 99 does not exist
select tandem.lock_v1(99, 'all', 'ann', 'why');

-- 'some' is none of none, foreign, outgoing, all, global
select tandem.lock_v1(5, 'some', 'ann', 'why');

-- a lock says why and by whom
select tandem.lock_v1(5, 'all', 'ann', ' ');

-- overcommit_is_0_to_1000_percent
update tandem.account set overcommit_pct = -1;

-- status_is_known
update tandem.account set status = 'deleted';

-- timezone_is_known
update tandem.account set timezone = 'Mars/Olympus';

-- timezone_is_known
update tandem.account set timezone = 'X3';

-- language_is_a_code
update tandem.account set language = 'english';

-- routing_is_a_sequence_of_known_criteria
update tandem.account set routing = '{cost,luck}';

-- routing_is_a_sequence_of_known_criteria
update tandem.account set routing = '{cost,cost}';

-- barred_are_prefixes
update tandem.account set barred = '{0900}';

-- name_is_1_to_64_printable_characters
update tandem.account set name = '';

-- the root account cannot be deleted
delete from tandem.account where kind = 'root';

-- violates foreign key
delete from tandem.account where name = 'North';

-- email_has_one_at
update tandem.contact set email = 'nobody';

-- null value in column "email"
insert into tandem.contact(account_id) values (1);

-- currency_is_three_capitals
insert into tandem.currency(code, scale) values ('euro', 2);

-- the root is billed by nobody
insert into tandem.fund(account_id, currency) select id, 'EUR' from tandem.account where kind = 'root';

-- fund 5:EUR keeps its account and currency
update tandem.fund set currency = 'USD' where account_id = 5;

-- credit_limit_is_unlimited_or_not_negative
update tandem.fund set credit_limit_micros = -2;

-- money_is_within_2_to_the_50
update tandem.fund set credit_limit_micros = 2::bigint ^ 51;

-- channels_max_is_not_negative
update tandem.fund set channels_max = -1;

-- channels_in_max_is_not_negative
update tandem.fund set channels_in_max = -1;

-- channels_out_max_is_not_negative
update tandem.fund set channels_out_max = -1;

-- day_max_is_not_negative
update tandem.fund set day_max_micros = -1;

-- month_max_is_not_negative
update tandem.fund set month_max_micros = -1;

-- fund of account 5: there is no currency 'XXX'
insert into tandem.fund(account_id, currency) values (5, 'XXX');

-- fund 5:EUR cannot be deleted: calls that are not posted yet may be paid by it; it goes with its account
delete from tandem.fund where account_id = 5;

-- fund 8:USD cannot be deleted: calls that are not posted yet may be paid by it; it goes with its account
insert into tandem.fund(account_id, currency) values (8, 'USD');
delete from tandem.fund where currency = 'USD';

-- threshold: account 5 has no fund in USD
insert into tandem.threshold(account_id, currency, kind, amount_micros) values (5, 'USD', 'day', 1);

-- threshold_is_of_balance_day_or_month
select world.threshold('Alpha', 'week', 5);

-- a_threshold_of_spend_is_positive
select world.threshold('Alpha', 'day', 0);

-- threshold_locks_or_warns
select world.threshold('Alpha', 'day', 5, 'none');

-- threshold_locks_or_warns
select world.threshold('Alpha', 'day', 5, 'some');

-- threshold_is_not_said_twice
select world.threshold('Alpha', 'day', 5), world.threshold('Alpha', 'day', 5, 'all');

-- ## Tariffs and rates

-- keeps its owner and its currency
update tandem.tariff set currency = 'USD' where name = 'wholesale';

-- keeps its owner and its currency
update tandem.tariff set account_id = 2 where name = 'wholesale';

-- can only point to a ready rate set of its own, and rate set 5 is none
update tandem.tariff set rate_set_id = 5 where name = 'wholesale';

-- is ready and cannot be changed
update tandem.rate_set set state = 'building';

-- begins as building
insert into tandem.rate_set(tariff_id, version, state) values (4, 2, 'ready');

-- rate_set_version_is_unique_in_its_tariff
insert into tandem.rate_set(tariff_id, version) values (4, 1);

-- rate_set_is_one_of_the_tariff
delete from tandem.rate_set where id = 4;

-- tariff_is_one_of_the_parent
delete from tandem.tariff where id = 4;

-- rate set 4 is ready: its prices cannot be changed
update tandem.rate set class_idx = 0 where rate_set_id = 4;

-- rate set
update tandem.rate set rate_set_id = 99 where rate_set_id = 4;

-- rate set 4 is ready: its prices cannot be changed
delete from tandem.rate where rate_set_id = 4;

-- rate set 4 is ready: its prices cannot be changed
insert into tandem.rate values (4, '99', 0);

-- rate set 99 does not exist
insert into tandem.rate values (99, '99', 0);

-- never truncated
truncate tandem.rate;

-- is ready: its prices cannot be changed
update tandem.rate_class set per_min_micros = 0;

-- is ready: its prices cannot be changed
delete from tandem.rate_class;

-- never truncated
truncate tandem.rate_class, tandem.rate_class_period;

-- per_min_is_not_negative
insert into tandem.rate_class(rate_set_id, idx, per_min_micros) values (4, 0, -1);

-- first_s_is_1_to_3600
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s) values (4, 9, 1, 0);

-- next_s_is_1_to_3600
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, next_s) values (4, 9, 1, 3601);

-- prefix_is_1_to_15_digits
insert into tandem.rate values (4, '0044', 0);

-- tariff 'x': there is no currency 'XXX'
select world.tariff('North', 'x', 'XXX', '44', '0.01');

-- rounding_is_known
update tandem.tariff set rounding = 'nearest';

-- round_to_is_1_micro_to_1_unit
update tandem.tariff set round_to_micros = 0;

-- onnet_is_known
update tandem.tariff set onnet = 'maybe';

-- timezone_is_known
update tandem.tariff set timezone = 'Mars/Olympus';

-- can only point to a ready rate set of its own, and rate set 5 is none
update tandem.tariff set inbound_rate_set_id = 5 where name = 'wholesale';

-- a_minute_costs_at_most_a_million_units
select world.tariff('North', 'x', 'EUR', '44', '1000001');

-- a_call_costs_at_least_at_most_a_million_units
select world.tariff('North', 'x', 'EUR', '44', '1 min 1000001');

-- min_is_not_negative
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_class(rate_set_id, idx, per_min_micros, min_micros) select max(id), 0, 1, -1 from tandem.rate_set;

-- tariff 4: a deck is a ready rate set of the tariff, and rate set 5 is none
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, now(), 5);

-- two_decks_do_not_begin_together
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2031-01-01', 4), (4, '2031-01-01', 4);

-- tariff 4 'wholesale' would have no prices from 2031-01-01 00:00:00+00 to 2031-02-01 00:00:00+00: a gap between two decks
set local timezone = 'UTC';
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2031-02-01', 4), (4, '2031-01-01', null);

-- would have no prices
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2031-01-01', null);
update tandem.tariff_deck set valid_from = '2031-03-01';
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2031-04-01', 4);

-- deck_begins_between_2000_and_2100
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2101-01-01', 4);

-- in the past: calls were priced without it; only its first deck may
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2025-01-01', 4);
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2026-01-01', 4);

-- in the past: calls were priced without it; only its first deck may
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2031-01-01', 4), (4, '2032-01-01', 4);
update tandem.tariff_deck set valid_from = '2026-01-01' where valid_from = '2032-01-01';

-- has been in force and stays; enter a newer one
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, now(), 4);
delete from tandem.tariff_deck;

-- has been in force and stays; enter a newer one
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2025-01-01', 4);
update tandem.tariff_deck set rate_set_id = null;

-- tariff 4 'wholesale' has 12 decks to come already
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) select 4, now() + n * interval '1 day', 4 from generate_series(1, 13) as n;

-- tariff 4 'wholesale': a deck of it is in force; new prices come as another deck
insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (4, '2020-01-01', 4);
update tandem.tariff set rate_set_id = null where id = 4;

-- a_period_has_1_to_64_spans
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select max(id), 0, 'peak', '{}' from tandem.rate_set;

-- spans_lie_within_the_week
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select max(id), 0, 'peak', '{"[10000,10081)"}' from tandem.rate_set;

-- spans_lie_within_the_week
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select max(id), 0, 'peak', '{"[-1,5)"}' from tandem.rate_set;

-- spans_lie_within_the_week
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select max(id), 0, 'peak', '{"[5,)"}' from tandem.rate_set;

-- spans_lie_within_the_week
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select max(id), 0, 'peak', '{"[5,5)"}' from tandem.rate_set;

-- spans_of_a_period_do_not_overlap
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select max(id), 0, 'peak', '{"[0,100)","[99,200)"}' from tandem.rate_set;

-- period_name_is_unique_in_its_rate_set
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select s.id, n, 'peak', '{"[0,100)"}' from (select max(id) as id from tandem.rate_set) as s, generate_series(0, 1) as n;

-- period_idx_is_0_to_15
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_period select max(id), 16, 'peak', '{"[0,100)"}' from tandem.rate_set;

-- periods must count 0, 1, 2 … without gaps
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_class(rate_set_id, idx, per_min_micros) select max(id), 0, 1 from tandem.rate_set;
insert into tandem.rate_period select max(id), 1, 'peak', '{"[0,100)"}' from tandem.rate_set;
update tandem.rate_set set state = 'ready' where state = 'building';

-- is ready: its prices cannot be changed
insert into tandem.rate_period values (4, 0, 'peak', '{"[0,100)"}');

-- period_exists
insert into tandem.rate_set(tariff_id, version) values (4, 2);
insert into tandem.rate_class(rate_set_id, idx, per_min_micros) select max(id), 0, 1 from tandem.rate_set;
insert into tandem.rate_class_period select max(id), 0, 0, 1 from tandem.rate_set;

-- per_min_is_0_to_a_million_units
insert into tandem.rate_class_period values (4, 0, 0, -1);

-- exchange rate of EUR in XXX: there is no currency 'XXX'
select world.exchange('EUR', 'XXX', 1);

-- exchange_is_between_two_currencies
select world.exchange('EUR', 'EUR', 1);

-- exchange_rate_is_a_billionth_to_nine_million
select world.exchange('EUR', 'USD', 0);

-- exchange_rate_is_a_billionth_to_nine_million
select world.exchange('EUR', 'USD', -1);

-- exchange_rate_is_a_billionth_to_nine_million
select world.exchange('EUR', 'USD', 'NaN');

-- exchange_rate_is_a_billionth_to_nine_million
select world.exchange('EUR', 'USD', 9000001);

-- exchange_rate_has_at_most_9_decimals
select world.exchange('EUR', 'USD', 1.0000000001);

-- two_exchange_rates_do_not_begin_together
select world.exchange('EUR', 'USD', 1, '2030-01-01');
select world.exchange('EUR', 'USD', 2, '2030-01-01');

-- has been in force and stays; enter a newer one
select world.exchange('EUR', 'USD', 1);
update tandem.exchange_rate set rate = 2;

-- has been in force and stays; enter a newer one
select world.exchange('EUR', 'USD', 1);
delete from tandem.exchange_rate;

-- cannot begin at 2026-01-01 00:00:00+00, in the past: calls were priced by another one; only the first rate of the two may
set local timezone = 'UTC';
select world.exchange('EUR', 'USD', 1, '2025-01-01');
select world.exchange('EUR', 'USD', 1, '2026-01-01');

-- in the past: calls were priced by another one
select world.exchange('EUR', 'USD', 1), world.exchange('EUR', 'USD', 2, '2031-01-01');
update tandem.exchange_rate set valid_from = '2026-01-01' where rate = 2;

-- exchange_rate_begins_between_2000_and_2100
select world.exchange('EUR', 'USD', 1, '1999-01-01');

-- ## Domains, subscribers, sources, numbers, rewriting

-- domain_name_is_lower_case_dns
update tandem.sip_domain set name = 'B.Example' where id = 1;

-- domain_name_is_lower_case_dns
update tandem.sip_domain set name = 'a..example' where id = 1;

-- domain_name_is_free
update tandem.sip_domain set name = 'b.example' where id = 1;

-- belongs to account 3, which is not account 2 nor above it
update tandem.sip_domain set rewrite_set_id = (select id
from tandem.rewrite_set where name = 'as dialled in Germany') where id = 1;

-- violates foreign key
delete from tandem.sip_domain;

-- username_is_1_to_64_safe_characters
update tandem.subscriber set username = 'al ice' where username = 'alice';

-- username_is_free_in_its_domain
update tandem.subscriber set username = 'bob' where username = 'alice';

-- ha1_md5_is_32_lower_case_hex
update tandem.subscriber set ha1_md5 = repeat('0', 31);

-- ha1_md5_is_32_lower_case_hex
update tandem.subscriber set ha1_md5 = repeat('A', 32);

-- ha1_sha256_is_64_lower_case_hex
update tandem.subscriber set ha1_sha256 = repeat('0', 32);

-- number_is_e164_digits
update tandem.subscriber set cli = '+442079460001';

-- number_is_e164_digits
update tandem.subscriber set cli = '0207946';

-- number_is_e164_digits
update tandem.subscriber set cli = '12';

-- cli_policy_is_known
update tandem.subscriber set cli_policy = 'ignore';

-- allowed_clis_are_shell_patterns_over_digits
update tandem.subscriber set allowed_clis = '{44.*}';

-- sip domain 2 belongs to account 3, which is not account 5 nor above it
update tandem.subscriber set sip_domain_id = 2 where username = 'alice';

-- account 5 'Alpha' cannot move: the domain of its subscriber alice@a.example belongs to account 2, which would no longer be above it
update tandem.account set parent_id = 3, tariff_id = 8 where name = 'Alpha';

-- number_is_free
update tandem.number set e164 = '442079460002' where e164 = '442079460001';

-- number_reaches_a_subscriber_of_its_account
update tandem.number set account_id = 6 where e164 = '442079460001';

-- number_reaches_a_subscriber_of_its_account
delete from tandem.subscriber where username = 'alice';

-- trusted source of subscriber 1 ties with trusted source 1 of subscriber 4: same network 127.0.2.1/32, transport 'udp' and From pattern ''
insert into tandem.trusted_source(subscriber_id, network, transport) values (1, '127.0.2.1', 'udp');

-- network_may_identify_somebody
insert into tandem.trusted_source(subscriber_id, network) values (1, '0.0.0.0/0');

-- network_may_identify_somebody
insert into tandem.trusted_source(subscriber_id, network) values (1, '::ffff:10.0.0.1/128');

-- invalid cidr value
insert into tandem.trusted_source(subscriber_id, network) values (1, '10.1.2.3/24');

-- transport_is_known
insert into tandem.trusted_source(subscriber_id, network, transport) values (1, '10.0.0.1', 'sctp');

-- is no regular expression
insert into tandem.trusted_source(subscriber_id, network, from_pattern) values (1, '10.0.0.1', '(');

-- reason_is_a_word
insert into tandem.reply_override values (1, 'No Credit', 402, 'Pay');

-- status_is_400_to_699
insert into tandem.reply_override values (1, 'credit', 200, 'Fine');

-- phrase_is_1_to_64_printable_ascii_characters
insert into tandem.reply_override values (1, 'credit', 402, e'Pay\r\nX: y');

-- side_is_known
update tandem.rewrite_rule set side = 'both';

-- a_rewrite_rule_has_a_pattern
update tandem.rewrite_rule set pattern = '';

-- replacement_is_dialable_with_groups
update tandem.rewrite_rule set replacement = 'a b';

-- replacement_names_groups_of_the_pattern
update tandem.rewrite_rule set replacement = '\2' where id = 2;

-- rewrite_rule_priority_is_unique_in_its_list
update tandem.rewrite_rule set priority = 10 where id = 2;

-- ## Carriers

-- deck_is_a_tariff_of_the_owner
update tandem.peering_group set tariff_id = 6 where name = 'acme';

-- priority_is_1_to_9
update tandem.peering_group set priority = 0;

-- rewrite set 1 belongs to account 2, which is not account 1
update tandem.peering_group set rewrite_set_id = 1 where name = 'acme';

-- rewrite set 1 belongs to account 2, which is not account 1
update tandem.peering_server set rewrite_set_id = 1 where name = 'acme';

-- server 'x': 127.0.1.1/32 belongs to server 1 'acme' of group 'acme' already; an address belongs to one group only
insert into tandem.peering_server(group_id, name, address, port) values (2, 'x', '127.0.1.1', 5090);

-- belongs to server 1 'acme' of group 'acme' already
update tandem.peering_server set aliases = '{127.0.1.1/32}' where name = 'blue';

-- 0.0.0.0/0 is too wide
update tandem.peering_server set aliases = '{0.0.0.0/0}' where name = 'blue';

-- server_socket_is_unique
insert into tandem.peering_server(group_id, name, address, port) values (1, 'x', '127.0.1.1', 5080);

-- address_is_one_host
update tandem.peering_server set address = '10.0.0.0/24' where name = 'acme';

-- port_is_1_to_65535
update tandem.peering_server set port = 0;

-- transport_is_known
update tandem.peering_server set transport = '';

-- weight_is_1_to_127
update tandem.peering_server set weight = 128;

-- callee_prefix_is_up_to_15_digits
update tandem.peering_rule set callee_prefix = '+44';

-- peering_rule_belongs_to_the_owner_of_its_group
insert into tandem.peering_rule(group_id) values (99);

-- peering_rule_is_not_said_twice
insert into tandem.peering_rule(group_id) values (1);

-- reject_code_and_phrase_come_together
update tandem.inbound_rule set code = 404, phrase = null where id = 1;

-- reject_code_and_phrase_come_together
update tandem.inbound_rule set code = null where id = 1;

-- reject_code_is_400_to_699
update tandem.inbound_rule set code = 302 where id = 1;

-- field_is_known
update tandem.inbound_rule set field = 'via';

-- part_is_known
update tandem.inbound_rule set part = 'port';

-- an_inbound_rule_has_a_pattern
update tandem.inbound_rule set pattern = '';

-- inbound_rule_priority_is_unique_in_its_group
insert into tandem.inbound_rule(group_id, priority, field, part, pattern) values (1, 1, 'to', 'uri', 'x');

-- emergency number 112: there is no peering group 99
update tandem.emergency_route set group_ids = '{1,99}' where number = '112';

-- emergency_groups_are_1_to_8_distinct
update tandem.emergency_route set group_ids = '{}';

-- emergency_groups_are_1_to_8_distinct
update tandem.emergency_route set group_ids = '{1,1}';

-- there is no SIP domain 'c.example'
update tandem.emergency_route set domain = 'c.example' where number = '112';

-- emergency_number_is_2_to_8_digits
update tandem.emergency_route set number = '+112';

-- peering group 1 'acme' takes the emergency number 112 and cannot be deleted
delete from tandem.peering_group where name = 'acme';

-- cannot move: the rewrite set as dialled in the UK of its domain c.example belongs to account 2
select world.domain('c.example', 'Fjord', 1);
update tandem.subscriber set sip_domain_id = (select id from tandem.sip_domain where name = 'c.example') where account_id = 6;
update tandem.account set parent_id = 3, tariff_id = (select world.tariff('South', 'dealer', 'EUR', '44', '0.02')) where name = 'Fjord';

-- sip domain 1 'a.example' keeps its account: others may be using it
update tandem.sip_domain set account_id = 3, rewrite_set_id = null where id = 1;

-- rewrite set 1 'as dialled in the UK' keeps its account
update tandem.rewrite_set set account_id = 3 where id = 1;

-- peering group 1 'acme' keeps its account
update tandem.peering_group set account_id = 2 where id = 1;

-- owed_max_is_not_negative
select world.carrier_limits('acme', owed => -1);

-- day_max_is_positive
select world.carrier_limits('acme', day => 0);

-- month_max_is_positive
select world.carrier_limits('acme', month => 0);

-- peering group 3 'crown': -5 micros EUR are open with it; disable it instead of deleting it
select tandem.pay_carrier_v1(3, 5, 'in advance', 'ann');
delete from tandem.peering_group where id = 3;

-- peering group 3 'crown' may have calls that are not posted yet and cannot be deleted; disable it, and wait 30 days
delete from tandem.peering_group where id = 3;

-- peering group 3 'crown' may have calls that are not posted yet and cannot be deleted; disable it, and wait 30 days
update tandem.peering_group set enabled = false, disabled_at = now() - interval '31 days' where id = 3;
update tandem.peering_group set enabled = true where id = 3;
update tandem.peering_group set enabled = false where id = 3;
delete from tandem.peering_group where id = 3;

-- peering group 3 'crown': -5 micros EUR are open with it and its caps count them; settle them before its deck is in USD
select tandem.pay_carrier_v1(3, 5, 'in advance', 'ann'), world.tariff('Tandem', 'dollars', 'USD', '44', '0.01');
update tandem.peering_group set tariff_id = (select id from tandem.tariff where name = 'dollars') where id = 3;

-- ## Money

-- a balance changes only by ledger entries
update tandem.fund_charge set charged_micros = 1;

-- a balance changes only by ledger entries
update tandem.carrier_owed set owed_micros = 1;

-- a balance changes only by ledger entries
update tandem.fund_credit set cred_micros = 1;

-- a balance changes only by ledger entries
delete from tandem.fund_credit;

-- a balance changes only by ledger entries
insert into tandem.fund_credit values (5, 'USD', 1, 1);

-- the ledger is never changed; post a correcting transaction
update tandem.ledger_entry set note = 'nothing happened';

-- the ledger is never changed; post a correcting transaction
delete from tandem.ledger_entry;

-- the ledger is never changed; post a correcting transaction
truncate tandem.ledger_entry;

-- does not sum to zero: 5 micros EUR are left over
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 5, 'fund', 'EUR', 5, 'pg');

-- does not sum to zero
with t as (select gen_random_uuid() as id)
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
select gen_random_uuid(), t.id, 2, 'cash', currency, amount, 'pg'
  from t, (values ('EUR', 5), ('USD', -5)) as v(currency, amount);

-- account 5 has no fund in USD
with t as (select gen_random_uuid() as id)
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
select gen_random_uuid(), t.id, account_id, book, 'USD', amount, 'pg'
  from t, (values (5, 'fund', 5), (2, 'cash', -5)) as v(account_id, book, amount);

-- account 1 has no fund in EUR
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 1, 'fund', 'EUR', 0, 'pg');

-- an_entry_of_a_call_names_level_and_sequence
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid)
values (gen_random_uuid(), gen_random_uuid(), 2, 'income', 'EUR', 0, 'pg', 'r1');

-- what_redis_charged_is_of_a_call_and_an_epoch
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 2, 'income', 'EUR', 0, 'redis');

-- what_redis_charged_to_a_fund_has_its_event_number
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch)
values (gen_random_uuid(), gen_random_uuid(), 5, 'fund', 'EUR', 0, 'redis', 'r1', 1, 1, 1);

-- the root is billed by nobody and has no fund
select tandem.topup_v1(1, 5, 'note', 'actor');

-- account 99 does not exist
select tandem.topup_v1(99, 5, 'note', 'actor');

-- an amount of zero moves nothing
select tandem.topup_v1(5, 0, 'note', 'actor');

-- an amount of zero moves nothing
select tandem.move_v1(5, null, 'topup', 'note', 'actor');

-- 1.5 micros are no whole number
select tandem.move_v1(5, 1.5, 'topup', 'note', 'actor');

-- NaN micros are out of reason
select tandem.move_v1(5, 'NaN', 'topup', 'note', 'actor');

-- 1000000000000000000000000000000 micros are out of reason
select tandem.move_v1(5, 1e30, 'topup', 'note', 'actor');

-- 'gift' is none of topup, credit, debit, adjust
select tandem.move_v1(5, 5, 'gift', 'note', 'actor');

-- a topup of -0.000005: its amount is positive; take money back by debit or adjust
select tandem.move_v1(5, -5, 'topup', 'note', 'actor');

-- a debit of -0.000005: its amount is positive
select tandem.move_v1(5, -5, 'debit', 'note', 'actor');

-- account 5 'Alpha' has no fund in USD; it pays in EUR
select tandem.move_v1(5, 5, 'topup', 'note', 'actor', null, 'USD');

-- account 5 'Alpha' has no fund in XXX
select tandem.move_v1(5, 5, 'topup', 'note', 'actor', null, 'XXX');

-- account 8 'Delta' is closed
update tandem.account set status = 'closed' where name = 'Delta';
select tandem.topup_v1(8, 5, 'note', 'actor');

-- account 5 'Alpha' would have 550.000001 EUR, and may have at most 110 % of the posted balance of its parent 2 'North', which is 500.000000 EUR
select world.overcommit('North', 10);
select world.money('Alpha', 'topup', 530), world.money('Alpha', 'topup', 0.000001);

-- account 2 'North' guards top-ups in EUR, and there is no exchange rate of USD in EUR
select world.overcommit('North', 10);
insert into tandem.fund(account_id, currency) values (5, 'USD');
select world.money('Alpha', 'topup', 1, currency => 'USD');

-- there is no transaction
select tandem.reverse_v1(gen_random_uuid(), 'note', 'ann');

-- is reversed already, by
select tandem.reverse_v1(tandem.topup_v1(5, 5, 'note', 'ann', 'r1'), 'wrong', 'ann');
select tandem.reverse_v1(tandem.topup_v1(5, 5, 'note', 'ann', 'r1'), 'wrong', 'ann');

-- is a reversal itself; post the movement again instead
select tandem.reverse_v1(tandem.reverse_v1(tandem.topup_v1(5, 5, 'note', 'ann'), 'wrong', 'ann'), 'wrong', 'ann');

-- a reversal says why and by whom
select tandem.reverse_v1(tandem.topup_v1(5, 5, 'note', 'ann'), '', 'ann');

-- there is no peering group 99
select tandem.pay_carrier_v1(99, 5, 'note', 'ann');

-- a payment of -0.000005: its amount is positive; reverse a wrong one
select tandem.pay_carrier_v1(1, -5, 'note', 'ann');

-- 0.1 micros are no whole number
select tandem.pay_carrier_v1(1, 0.1, 'note', 'ann');

-- a payment says why and by whom
select tandem.pay_carrier_v1(1, 5, 'note', '');

-- there is no currency 'XXX'
select tandem.pay_carrier_v1(1, 5, 'note', 'ann', null, 'XXX');

-- request 'r1' paid 0.000005 EUR before, not 0.000006 EUR
select tandem.pay_carrier_v1(1, 5, 'note', 'ann', 'r1');
select tandem.pay_carrier_v1(1, 6, 'note', 'ann', 'r1');

-- what_is_owed_names_its_carrier
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 1, 'carrier', 'EUR', 0, 'pg');

-- book_is_known
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 1, 'gold', 'EUR', 0, 'pg');

-- account 99 does not exist
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 99, 'cash', 'EUR', 0, 'pg');

-- there is no currency 'XXX'
insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)
values (gen_random_uuid(), gen_random_uuid(), 1, 'cash', 'XXX', 0, 'pg');

-- currency 'SEK' is in the ledger and stays
insert into tandem.currency(code, scale) values ('SEK', 2);
select tandem.pay_carrier_v1(1, 5, 'note', 'ann', null, 'SEK');
delete from tandem.currency where code = 'SEK';

-- a top-up says why and by whom
select tandem.topup_v1(5, 5, '', 'actor');

-- money_is_within_2_to_the_50
select tandem.topup_v1(5, (2::numeric ^ 51)::bigint, 'note', 'actor');

-- money_is_within_2_to_the_50
select tandem.topup_v1(5, (2::numeric ^ 50)::bigint, 'note', 'actor');

-- ## Calls and the cell

-- outcome_is_known
insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller, callee, outcome, sip_status)
values ('r', 'c', 'n', now(), now(), 'out', '', 0, '', '', 'lucky', 200);

-- a_charge_has_a_currency
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, book, charged_micros) values ('r', 1, 5, 2, 'EUR', 1, 'fund', 1);

-- book_is_fund_or_cost
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, book) values ('r', 1, 5, 2, 'EUR', 1, 'cash');

-- one_epoch_is_open
insert into tandem.epoch(number, state) values (1, 'building'), (2, 'building');

-- one_epoch_is_armed
insert into tandem.epoch(number, state, armed_at) values (1, 'armed', now()), (2, 'armed', now());

-- an_armed_epoch_says_since_when
insert into tandem.epoch(number, state) values (1, 'armed');

-- node_name_is_1_to_32_characters
insert into tandem.node(name) values ('Node 1');

-- ## The acting account

-- no acting account is set in this transaction: call tandem.act_as_v1 first
select tandem.visible_ids_v1();

-- account 99 does not exist
select tandem.act_as_v1(99, 'somebody');

-- an actor has a name
select tandem.act_as_v1(1, '');

-- ## Times, barring, block lists

-- timezone_is_known
select world.time_set('North', 'x', 'Mars/Olympus');

-- time_set_name_is_unique_in_its_account
select world.time_set('North', 'x'), world.time_set('North', 'x');

-- time set 1 'x' keeps its account: others may be using it
select world.time_set('North', 'x');
alter table tandem.time_set alter column id restart;
update tandem.time_set set id = default;
update tandem.time_set set account_id = 3;

-- span_is_within_the_week
insert into tandem.time_set_span(time_set_id, span) values (world.time_set('North', 'x'), '[10000,10081)');

-- span_is_within_the_week
insert into tandem.time_set_span(time_set_id, span) values (world.time_set('North', 'x'), '[5,5)');

-- span_is_within_the_week
insert into tandem.time_set_span(time_set_id, span) values (world.time_set('North', 'x'), '[5,)');

-- first_day_is_a_day
select world.time_set('North', 'x', 'UTC', '{}', '{02-30}');

-- first_day_is_a_day
select world.time_set('North', 'x', 'UTC', '{}', '{2026-02-29..2026-03-01}');

-- last_day_is_a_day
select world.time_set('North', 'x', 'UTC', '{}', '{12-24..12-32}');

-- days_are_of_one_form_and_in_order
select world.time_set('North', 'x', 'UTC', '{}', '{12-24..2026-12-26}');

-- days_are_of_one_form_and_in_order
select world.time_set('North', 'x', 'UTC', '{}', '{2026-12-26..2026-12-24}');

-- kind_is_shut_or_open
insert into tandem.time_set_day(time_set_id, kind, first_day, last_day) values (world.time_set('North', 'x'), 'closed', 101, 101);

-- mode_is_blacklist_or_whitelist
select world.barring('North', 'x', 'greylist', '{1}');

-- barring_level_name_is_unique_in_its_account
select world.barring('North', 'x', 'blacklist', '{1}'), world.barring('North', 'x', 'whitelist', '{1}');

-- a_barring_rule_has_a_pattern
select world.barring('North', 'x', 'blacklist', array['']);

-- barring_rule_is_not_said_twice
select world.barring('North', 'x', 'blacklist', '{1,1}');

-- has nested or too many repeats: begin it with ^
select world.barring('North', 'x', 'blacklist', '{(1+)+}');

-- belongs to account 3, which is not account 2 nor above it
select world.time_set('South', 'x'), world.barring('North', 'y', 'blacklist', '{1}', 'x');

-- belongs to account 3, which is not account 5 nor above it
select world.barring('South', 'x', 'blacklist', '{1}'), world.bar('Alpha', 'x');

-- belongs to account 5, which is not account 2 nor above it
select world.barring('Alpha', 'x', 'blacklist', '{1}'), world.bar('North', 'x', 'own');

-- belongs to account 3, which is not account 5 nor above it
select world.barring('South', 'x', 'blacklist', '{1}'), world.bar('alice@a.example', 'x');

-- belongs to account 3, which is not account 5 nor above it
select world.barring('South', 'x', 'blacklist', '{1}'), world.bar('alice@a.example', 'x', 'own');

-- cannot move: the barring level x of its account Fjord belongs to account 2, which would no longer be above it
select world.barring('North', 'x', 'blacklist', '{1}'), world.bar('Fjord', 'x');
update tandem.subscriber set rewrite_set_id = null, sip_domain_id = (select world.domain('top.example', 'Tandem')) where account_id = 6;
update tandem.account set parent_id = 1, tariff_id = 4 where name = 'Fjord';

-- cannot move: the time set x of its barring level y belongs to account 2, which would no longer be above it
select world.time_set('North', 'x'), world.barring('Fjord', 'y', 'blacklist', '{1}', 'x');
update tandem.subscriber set rewrite_set_id = null, sip_domain_id = (select world.domain('top.example', 'Tandem')) where account_id = 6;
update tandem.account set parent_id = 1, tariff_id = 4 where name = 'Fjord';

-- violates foreign key constraint
select world.barring('North', 'x', 'blacklist', '{1}'), world.bar('Alpha', 'x');
delete from tandem.barring_level;

-- violates foreign key constraint
select world.time_set('North', 'x'), world.barring('North', 'y', 'blacklist', '{1}', 'x');
delete from tandem.time_set;

-- blocked_in_are_shell_patterns_over_digits
select world.account_option('Alpha', 'blocked_in', 'unknown');

-- blocked_out_are_shell_patterns_over_digits
select world.account_option('Alpha', 'blocked_out', 'anonymous');

-- blocked_out_are_shell_patterns_over_digits
select world.subscriber_option('alice@a.example', 'blocked_out', '44*,44*');

-- blocked_in_are_shell_patterns_over_digits
select world.subscriber_option('alice@a.example', 'blocked_in', '+44');

-- carriers_is_known
select world.account_option('Alpha', 'carriers', 'mine');

-- loss_is_any_or_0_to_1000_percent
select world.account_option('Alpha', 'loss_pct', '-2');

-- attempts_are_0_to_16
select world.account_option('Alpha', 'attempts_max', '17');

-- offline_calls_are_0_to_10000
select world.account_option('Alpha', 'offline_calls', '-1');

-- offline_is_1_to_14400_s
select world.account_option('Alpha', 'offline_s', '0');

-- region_is_a_word
select world.subscriber_option('alice@a.example', 'region', 'greater london');

-- region_is_a_word
select world.domain_option('a.example', 'region', 'greater london');

-- ## Servers, hunting, rules

-- a_server_has_an_address_or_a_name
update tandem.peering_server set host = 'sbc.example' where id = 1;

-- a_server_has_an_address_or_a_name
update tandem.peering_server set address = null where id = 1;

-- host_is_a_dns_name
select world.server_named('acme', 'x', '192.0.2.300', 5060);

-- host_is_a_dns_name
select world.server_named('acme', 'x', 'SBC.example', 5060);

-- server_name_and_port_are_unique
select world.server_named('acme', 'x', 'sbc.example', 5060), world.server_named('blue', 'y', 'sbc.example', 5060);

-- server 'x': 127.0.1.2/32 belongs to server 2 'blue' of group 'blue' already; an address belongs to one group only
select world.server_named('acme', 'x', 'sbc.example', 5060), world.resolved('x', '127.0.1.2');

-- server 'y': 192.0.2.7/32 belongs to server
select world.server_named('acme', 'x', 'sbc.example', 5060), world.resolved('x', '192.0.2.7'), world.server('blue', 'y', '192.0.2.7', 5060);

-- has no name that could stand for 192.0.2.7
select world.resolved('acme/acme', '192.0.2.7');

-- address_is_one_host
select world.server_named('acme', 'x', 'sbc.example', 5060), world.resolved('x', '192.0.2.0/24');

-- socket_is_transport_address_port
select world.peer_option('acme/acme', 'socket', 'udp:sip.example:5060');

-- socket_is_transport_address_port
select world.peer_option('acme/acme', 'socket', 'udp:2001:db8::1:5060');

-- socket_has_the_transport_of_its_server
select world.peer_option('acme/acme', 'socket', 'tcp:192.0.2.1:5060');

-- channels_are_0_to_100000
select world.peer_option('acme/acme', 'channels_max', '-1');

-- cps_is_0_to_10000
select world.peer_option('acme/acme', 'cps_max', '-1');

-- ring_is_0_to_180_s
select world.peer_option('acme/acme', 'ring_max_s', '181');

-- pdd_is_0_to_60000_ms
select world.peer_option('acme/acme', 'pdd_max_ms', '-1');

-- ported_is_known
select world.peer_option('acme/acme', 'ported', 'dip');

-- identity_shown_is_known
select world.peer_option('acme/acme', 'identity_shown', 'nobody');

-- identity_headers_are_known
select world.peer_option('acme/acme', 'identity_headers', 'pai,identity');

-- identity_headers_are_known
select world.peer_option('acme/acme', 'identity_headers', 'pai,pai');

-- identity_host_is_a_host
select world.peer_option('acme/acme', 'identity_host', 'a b');

-- a_login_is_whole
select world.peer_option('acme/acme', 'login_username', 'x');

-- login_ha1_is_32_lower_case_hex
update tandem.peering_server set login_username = 'a', login_realm = 'b', login_ha1 = 'secret';

-- login_username_is_1_to_128_printable_characters
select world.peer_option('acme/acme', 'login', 'a"b:c:d');

-- login_realm_is_1_to_128_printable_characters
select world.peer_option('acme/acme', 'login', 'a:b"c:d');

-- registering_needs_a_login
select world.peer_option('acme/acme', 'login_register_s', '600');

-- login_register_is_0_or_30_to_86400_s
select world.peer_option('acme/acme', 'login', 'a:b:c'), world.peer_option('acme/acme', 'login_register_s', '29');

-- login_contact_user_is_up_to_64_safe_characters
select world.peer_option('acme/acme', 'login_contact_user', 'a@b');

-- status_is_300_to_699
select world.hunt('acme/acme', 200, 'stop');

-- action_is_stop_or_continue
select world.hunt('acme/acme', 503, 'retry');

-- told_status_and_phrase_come_together
select world.hunt('acme/acme', 503, 'stop', 480);

-- told_status_is_400_to_699
select world.hunt('acme/acme', 503, 'stop', 302, 'Elsewhere');

-- told_phrase_is_1_to_64_printable_ascii_characters
select world.hunt('acme/acme', 503, 'stop', 480, E'a\r\nb');

-- share_is_1_to_1000
select world.carrier_option('acme', 'share', '0');

-- a_rule_ends_after_it_begins
select world.rule('acme', '44', valid_from => '2027-01-01', valid_to => '2026-01-01');

-- rule_begins_between_2000_and_2100
select world.rule('acme', '44', valid_from => '1999-01-01');

-- rule_ends_between_2000_and_2100
select world.rule('acme', '44', valid_to => 'infinity');

-- a_rule_blocks_or_stops
select world.rule('acme', '44', stopper => true, block => true);

-- description_is_up_to_200_printable_characters
select world.rule('acme', '44', description => repeat('x', 201));

-- peering_rule_is_not_said_twice
select world.rule('acme', '44', valid_to => '2027-01-01'), world.rule('acme', '44', stopper => true, valid_to => '2027-01-01');

-- belongs to account 2, which is not account 1 nor above it
select world.time_set('North', 'x'), world.rule('acme', '44', time_set => 'x');

-- ## Numbers

-- side_is_known
select world.rewrite('Tandem', 'plus', 'lnp', '^', '+');

-- prefix_is_1_to_15_digits
select world.ported('0044', '4499');

-- prefix_is_1_to_15_digits
select world.ported('44', 'D044');

-- a_port_changes_something
select world.ported('4420', '4420');

-- carrier_of_a_ported_number_exists
insert into tandem.ported_number(digits, routing, group_id) values ('44', '4499', 99);

-- carrier_of_a_ported_number_exists
select world.ported('4420', '4499', 'crown');
update tandem.peering_group set enabled = false, disabled_at = now() - interval '31 days' where name = 'crown';
delete from tandem.peering_group where name = 'crown';

-- ported_number_pkey
select world.ported('4420', '4499'), world.ported('4420', '4498');

-- expected_is_1_s_to_4_hours
select world.destination('44', 0);

-- an_emergency_number_is_for_a_domain_or_a_region
select world.emergency('110', '{acme}', 'a.example', 'bavaria');

-- emergency_number_is_unique_in_its_domain
select world.emergency('110', '{acme}', region => 'bavaria'), world.emergency('110', '{blue}', region => 'bavaria');

-- routing_is_up_to_32_dialable_characters
select world.emergency('110', '{acme}', routing => 'sip:110@x');

-- region_is_a_word
select world.emergency('110', '{acme}', region => 'greater london');

-- sums_are_not_negative
select world.quality('acme/acme', -1, 60, 500);

-- pass_is_positive
insert into tandem.generation(config_pass) values (0);

-- ## What is stored is what is used

-- phrase_is_1_to_64_printable_ascii_characters
select world.reply('Tandem', 'credit', 402, 'Kein Güthaben');

-- phrase_is_1_to_64_printable_ascii_characters
update tandem.inbound_rule set code = 480, phrase = 'Später' where id = 1;

-- told_phrase_is_1_to_64_printable_ascii_characters
select world.hunt('acme/acme', 503, 'stop', 480, 'Später');

-- told_status_is_no_challenge
select world.hunt('acme/acme', 503, 'stop', 407, 'Proxy Authentication Required');

-- told_status_is_no_challenge
select world.hunt('acme/acme', 503, 'stop', 401, 'Unauthorized');

-- blocked_in_have_no_empty_range
select world.account_option('North', 'blocked_in', '{44[1-20-9]*,33[9-0]*}');

-- blocked_out_have_no_empty_range
select world.subscriber_option('alice@a.example', 'blocked_out', '{[!5-3]*}');

-- allowed_clis_have_no_empty_range
update tandem.subscriber set allowed_clis = '{44[2-1]}' where username = 'alice';

-- belongs to account 4 'Fjord'; ported numbers count for all accounts, so only a carrier of the root may serve them
select world.carrier_of('Fjord', 'fjords own', '198.51.100.77', 5060, '44', '0.01');
select world.ported('442071', '442071', 'fjords own');

-- ## Lists of patterns

-- has nested or too many repeats: begin it with ^, and repeat without bound once or twice
insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement) values (1, 'callee_in', 500, '(?:.|.){14}x', '');

-- the patterns of this side of the rewrite set have 149769 ways to be tried together, at most 133128 are allowed
insert into tandem.rewrite_set(id, account_id, name) overriding system value values (90, 1, 'much');
insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement)
select 90, 'callee_out', n, '.*x' || n, '' from generate_series(1, 9) as n;

-- this side of the rewrite set would have 501 patterns; at most 500 are allowed
insert into tandem.rewrite_set(id, account_id, name) overriding system value values (90, 1, 'many');
insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement)
select 90, 'callee_out', n, '^' || n, '' from generate_series(1, 501) as n;

-- the patterns of the barring level have 149769 ways
select world.barring('Tandem', 'heavy', 'blacklist', array(select '[0-9]*x' || n from generate_series(1, 9) as n));

-- the patterns of the inbound rules of the carrier have
insert into tandem.inbound_rule(group_id, priority, field, part, pattern)
select 1, 100 + n, 'from', 'uri', '.*x' || n from generate_series(1, 9) as n;

-- the patterns of the trusted sources of the network have 149769 ways
insert into tandem.trusted_source(subscriber_id, network, from_pattern)
select (select min(id) from tandem.subscriber), '198.51.100.9', '.*x' || n from generate_series(1, 9) as n;

-- the patterns of the peering rules of the account have 149769 ways
insert into tandem.peering_rule(group_id, account_id, callee_prefix, caller_pattern)
select g.id, g.account_id, '44' || n, '.*x' || n from generate_series(1, 9) as n, tandem.peering_group g where g.name = 'acme';

-- ## What names of servers stand for

-- is the address of no host
select world.server_named('acme', 'named', 'sip.acme.example', 5060), world.resolved('named', '0.0.0.0');

-- is the address of no host
select world.server_named('acme', 'named', 'sip.acme.example', 5060), world.resolved('named', '239.1.2.3');

-- is the address of no host
select world.server_named('acme', 'named', 'sip.acme.example', 5060), world.resolved('named', 'fe80::1');

-- lies in network 198.51.100.0/24 of trusted source
insert into tandem.trusted_source(subscriber_id, network) select min(id), '198.51.100.0/24' from tandem.subscriber;
select world.server_named('acme', 'named', 'sip.acme.example', 5060), world.resolved('named', '198.51.100.60');

-- lock_is_known
select world.subscriber_option('alice@a.example', 'lock', 'some');

-- ## People, and where calls end

-- a_number_reaches_at_most_one
select world.user('Eva', 'Alpha');
update tandem.number set user_id = world.named('user', 'Eva') where e164 = '442079460001';

-- number_reaches_a_user_of_its_account
select world.user('Bo', 'Beta');
update tandem.number set user_id = world.named('user', 'Bo'), subscriber_id = null where e164 = '442079460001';

-- device_is_of_a_user_of_its_account
select world.user('Bo', 'Beta', 'alice@a.example');

-- user_name_is_unique_whatever_its_case
select world.user('Eva', 'Alpha'), world.user('eva', 'Alpha');

-- extension_is_up_to_8_digits_or_a_lower_case_word
select world.extension('123456789', 'Alpha', 'alice@a.example');

-- an_extension_reaches_exactly_one
insert into tandem.extension(account_id, dialled) values (world.account_id('Alpha'), '200');

-- belongs to account 6, which is not account 5 nor above it
select world.media_server('Beta', 'box', '127.0.5.1'), world.extension('200', 'Alpha', 'media:box/one');

-- media_server_and_media_user_come_together
select world.media_server('Alpha', 'box', '127.0.5.1');
update tandem.number set subscriber_id = null, media_server_id = world.named('media_server', 'box') where e164 = '442079460001';

-- a_member_is_one_line_or_one_user
select world.ring_group('Sales', 'Alpha', 'serial', '{group:Sales}');

-- a_line_is_in_a_group_once
select world.ring_group('Sales', 'Alpha', 'serial', '{alice@a.example,alice@a.example}');

-- the group would have 65 members; at most 64 are allowed
select world.user('u' || n, 'Alpha') from generate_series(1, 65) as n;
select world.ring_group('Sales', 'Alpha', 'serial', array(select 'user:u' || n from generate_series(1, 65) as n));

-- the subscriber would have 17 forwards; at most 16 are allowed
select world.forward('alice@a.example', 'busy', 'number:4420') from generate_series(1, 17);

-- a_timeout_has_after_s_of_1_or_more_and_other_kinds_have_none
select world.forward('alice@a.example', 'busy', 'number:4420', 20);

-- a_timeout_has_after_s_of_1_or_more_and_other_kinds_have_none
select world.forward('alice@a.example', 'timeout', 'number:4420');

-- callers_are_shell_patterns_over_digits
select world.forward('alice@a.example', 'busy', 'number:4420', callers => '{44[9-0]}');

-- a_forward_names_a_number_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind, subscriber_id, e164)
select world.callflow('Main', 'Alpha'), 1, 'ring', world.subscriber_id('alice@a.example'), '4420';

-- a_ring_names_a_line_or_user_or_group_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind) select world.callflow('Main', 'Alpha'), 1, 'ring';

-- a_flow_names_the_callflow_that_goes_on_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind) select world.callflow('Main', 'Alpha'), 1, 'flow';

-- a_media_step_names_a_media_server_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind) select world.callflow('Main', 'Alpha'), 1, 'media';

-- a_reject_has_a_status_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind) select world.callflow('Main', 'Alpha'), 1, 'reject';

-- a_time_step_names_a_time_set_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind, otherwise) select world.callflow('Main', 'Alpha'), 1, 'time', 2;

-- a_caller_step_has_callers_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind, otherwise) select world.callflow('Main', 'Alpha'), 1, 'caller', 2;

-- time_and_caller_have_an_otherwise_and_other_kinds_do_not
insert into tandem.callflow_step(callflow_id, position, kind, callers) select world.callflow('Main', 'Alpha'), 1, 'caller', '{44*}';

-- only_a_ring_has_ring_s
insert into tandem.callflow_step(callflow_id, position, kind, status, ring_s) select world.callflow('Main', 'Alpha'), 1, 'reject', 480, 9;

-- only_a_reject_has_a_phrase
insert into tandem.callflow_step(callflow_id, position, kind, subscriber_id, phrase)
select world.callflow('Main', 'Alpha'), 1, 'ring', world.subscriber_id('alice@a.example'), 'Busy';

-- contacts_are_0_to_30
update tandem.subscriber set contacts_max = 31;

-- extension '112': it is an emergency number, which is called first
select world.extension('112', 'Alpha', 'alice@a.example');

-- extension '999': it is an emergency number, which is called first
select world.emergency('999', '{acme}', domain => 'a.example'), world.extension('999', 'Alpha', 'alice@a.example');

-- extension '999': it is an emergency number, which is called first
update tandem.subscriber set region = 'GB' where username = 'alice';
select world.emergency('999', '{acme}', region => 'GB'), world.extension('999', 'Alpha', 'alice@a.example');

-- forward: number '112' is an emergency number, to which no call is led
select world.forward('alice@a.example', 'busy', 'number:112');

-- extension: number '112' is an emergency number, to which no call is led
select world.extension('9', 'Alpha', 'number:112');

-- ring group: number '112' is an emergency number, to which no call is led
select world.ring_group('Sales', 'Alpha', 'serial', '{}', overflow => 'number:112');

-- callflow step: number '112' is an emergency number, to which no call is led
select world.callflow('Main', 'Alpha', 'forward 112');

-- user 'Eva': its forward busy/1 leads back to it
select world.user('Eva', 'Alpha'), world.forward('user:Eva', 'busy', 'user:Eva');

-- leads back to it
select world.user('Eva', 'Alpha'), world.forward('user:Eva', 'busy', 'alice@a.example'), world.forward('alice@a.example', 'busy', 'user:Eva');

-- group 'Sales': its overflow leads back to it
select world.ring_group('Sales', 'Alpha', 'serial', '{}'), world.ring_group('More', 'Alpha', 'serial', '{}', overflow => 'group:Sales');
update tandem.ring_group set overflow_ring_group_id = world.named('ring_group', 'More') where name = 'Sales';

-- user 'Eva': number '442079460009', where it leads to, leads back to it
select world.user('Eva', 'Alpha'), world.forward('user:Eva', 'busy', 'number:442079460009');
set constraints all immediate;
select world.number('442079460009', 'Alpha', 'user:Eva');

-- callflow 'Main': step 1 (forward) leads back to it
select world.callflow('Main', 'Alpha', 'reject 480'), world.number('442079460009', 'Alpha', 'callflow:Main');
update tandem.callflow_step set kind = 'forward', status = null, e164 = '442079460009';

-- a call would be led on more than 5 times
select world.user('u' || n, 'Alpha') from generate_series(1, 7) as n;
select world.forward('user:u' || n, 'busy', 'user:u' || n + 1) from generate_series(1, 6) as n;

-- user 'u4': with its forward busy/1 a call would be led on more than 5 times
select world.user('u' || n, 'Alpha') from generate_series(1, 7) as n;
select world.forward('user:u' || n, 'busy', 'user:u' || n + 1) from unnest('{1,2,3,5,6}'::integer[]) as n;
set constraints all immediate;
select world.forward('user:u4', 'busy', 'user:u5');

-- extension '200': callflow 'Main' has no steps
select world.callflow('Main', 'Alpha'), world.extension('200', 'Alpha', 'callflow:Main');

-- number '442079460009': callflow 'Main' has no steps
select world.callflow('Main', 'Alpha'), world.number('442079460009', 'Alpha', 'callflow:Main');

-- user 'Eva', its forward busy/1: callflow 'Main' has no steps
select world.user('Eva', 'Alpha'), world.callflow('Main', 'Alpha'), world.forward('user:Eva', 'busy', 'callflow:Main');

-- group 'Sales', its overflow: callflow 'Main' has no steps
select world.callflow('Main', 'Alpha'), world.ring_group('Sales', 'Alpha', 'serial', '{}', overflow => 'callflow:Main');

-- callflow 'Day', step 1: callflow 'Main' has no steps
select world.callflow('Main', 'Alpha'), world.callflow('Day', 'Alpha', 'flow Main');

-- callflow 'Main': it has no steps, and number '442079460009' leads to it
select world.callflow('Main', 'Alpha', 'reject 480'), world.number('442079460009', 'Alpha', 'callflow:Main');
set constraints all immediate;
delete from tandem.callflow_step;

-- callflow 'Main': nothing leads to step 2 (ring)
select world.callflow('Main', 'Alpha', 'forward 4420', 'ring alice@a.example');

-- callflow 'Main': nothing leads to step 3 (ring)
select world.callflow('Main', 'Alpha', 'ring alice@a.example', 'reject 480', 'ring alice@a.example');

-- callflow 'Main': step 1 (caller) leads to step 3, which is not there
select world.callflow('Main', 'Alpha', 'caller 44* else 3', 'reject 480');

-- callflow 'Main': step 2 (caller) leads to step 3, which is not there
select world.callflow('Main', 'Alpha', 'ring alice@a.example', 'caller 44* else 3');

-- otherwise_is_a_later_step
select world.callflow('Main', 'Alpha', 'reject 480', 'caller 44* else 1');

-- the callflow would have 65 steps; at most 64 are allowed
select world.callflow('Main', 'Alpha', variadic array(select 'ring alice@a.example' from generate_series(1, 65)));

-- place_is_not_said_twice
select world.place('alice@a.example', '127.0.6.1'), world.place('alice@a.example', '127.0.6.1');

-- expires_min_is_not_above_its_max
update tandem.subscriber set expires_min_s = 600, expires_max_s = 60;

-- address_is_one_host
select world.media_server('Tandem', 'ivr', '192.0.2.0/24');

-- address_is_neither_multicast_nor_reserved
select world.media_server('Tandem', 'ivr', '224.0.0.1');

-- address_is_neither_multicast_nor_reserved
select world.place('alice@a.example', '0.0.0.0');

-- address_is_neither_multicast_nor_reserved
select world.place('alice@a.example', 'ff02::1');

-- trunk place: 127.0.1.1 is the address of server 'acme' of account 1, which would take the calls for our own
select world.place('alice@a.example', '127.0.1.1');

-- media server: 127.0.1.1 is the address of server 'acme' of account 1, which would take the calls for our own
select world.media_server('Alpha', 'ivr', '127.0.1.1');

-- media server: 127.0.1.1 is the address of server 'acme' of account 1, which would take the calls for our own
select world.media_server('Alpha', 'ivr', '127.0.5.1');
update tandem.media_server set address = '127.0.1.1';

-- number_reaches_a_user_of_its_account" on table "number"
select world.user('Eva', 'Alpha'), world.number('442079460009', 'Alpha', 'user:Eva');
delete from tandem.user;
