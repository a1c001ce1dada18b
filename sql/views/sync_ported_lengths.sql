-- Lengths. name: lnplens. Always one row. An index answers each length: there may be millions of ported numbers.
set local role tandem_owner;

create view sync.ported_lengths with (security_invoker = true) as
select 'lnplens' as name,
       coalesce(array_agg(long order by long desc), '{}') as lengths
  from generate_series(1, 15) as long
 where exists (select from tandem.ported_number p where length(p.digits) = long);
comment on view sync.ported_lengths is 'Lengths of kemi/records: of the digits of ported numbers.';
