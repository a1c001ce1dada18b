-- Makes the temporary tables that the rates of a file are copied into; they live until the end of the transaction.
-- of_tariff: whose prices they will be. Error unless who asks may change them: before a long file is read in vain.
-- import_row: a line of the file and a prefix that it names, with the idx of its moment and of its price; price -1: no more rate.
-- A table of the session and of the owner: COPY goes into it, row-level security or not, and nobody else sees it.
set local role tandem_owner;

create or replace function tandem.stage_rates_v1(of_tariff bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform tandem.check_may_price(of_tariff);
  create temporary table import_row (line integer not null, prefix text not null, moment integer not null, price integer not null)
    on commit drop;
  create temporary table import_moment (idx integer primary key, at timestamptz not null) on commit drop;
  create temporary table import_price (
    idx integer primary key, per_min_micros bigint not null, first_s integer not null, next_s integer not null,
    connect_micros bigint not null, forbidden boolean not null, min_micros bigint not null) on commit drop;
  grant insert on import_row, import_moment, import_price to tandem_tool, tandem_tenant;
end $$;
comment on function tandem.stage_rates_v1 is 'Make the temporary tables for the rates of a file.';
revoke execute on function tandem.stage_rates_v1 from public;
grant execute on function tandem.stage_rates_v1 to tandem_tool, tandem_tenant;
