select world.chain('u34', '88634');
select world.subscriber('one@u34.example', 'u34-customer', 'demo-secret', null);
select world.subscriber('two@u34.example', 'u34-customer', 'demo-secret', null);
select world.ring_group('u34-sales', 'u34-customer', 'circular', '{one@u34.example,two@u34.example}', member_s => 5);
select world.number('886342000001', 'u34-customer', 'group:u34-sales');
